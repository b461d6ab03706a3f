#include "draft/drafter.h"

#include <gtest/gtest.h>

#include "draft/ngram.h"
#include "tests/support/loaded_model.h"

namespace ft::draft {
namespace {

TEST(DrafterKind, ParsesTheNamesOfTheFlag) {
  EXPECT_EQ(*parse_drafter_kind("auto"), DrafterKind::kAuto);
  EXPECT_EQ(*parse_drafter_kind("dspark"), DrafterKind::kDspark);
  EXPECT_EQ(*parse_drafter_kind("mtp"), DrafterKind::kMtp);
  EXPECT_EQ(*parse_drafter_kind("ngram"), DrafterKind::kNgram);
  EXPECT_EQ(*parse_drafter_kind("none"), DrafterKind::kNone);
  EXPECT_EQ(*parse_drafter_kind("dspark+ngram"), DrafterKind::kDsparkNgram);
  EXPECT_EQ(*parse_drafter_kind("mtp+ngram"), DrafterKind::kMtpNgram);
  for (const char* name : {"", "MTP", "dspark ", "eagle", "ngram+mtp"}) {
    const auto kind = parse_drafter_kind(name);
    ASSERT_FALSE(kind) << name;
    EXPECT_EQ(kind.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(kind.error().message.find(fmt::format("\"{}\"", name)), std::string::npos)
        << kind.error().message;
    for (const char* known : {"auto", "dspark", "mtp", "ngram", "none", "dspark+ngram", "mtp+ngram"})
      EXPECT_NE(kind.error().message.find(known), std::string::npos) << kind.error().message;
  }
}

TEST(MakeDrafter, TakesWhatTheCheckpointCarriesOrSaysWhatIsMissing) {
  struct Case {
    const char* model;
    DrafterKind kind;
    const char* want;  // a name, or a part of the message
    bool has_model = false;
    bool has_ngram = false;
    DraftSources sources = {};
  };
  const Case cases[] = {
      {"tiny-v4", DrafterKind::kAuto, "mtp", true, true, {true, false}},
      {"tiny-v4", DrafterKind::kMtp, "mtp", true, true, {true, false}},
      {"tiny-v4", DrafterKind::kMtpNgram, "mtp+ngram", true, true, {true, true}},
      {"tiny-v4", DrafterKind::kDspark, "dspark: the checkpoint has no DSpark draft (mtp.0.main_proj)"},
      {"tiny-v4", DrafterKind::kDsparkNgram, "dspark+ngram: the checkpoint has no DSpark draft"},
      {"tiny-v4", DrafterKind::kNgram, "ngram", false, true, {false, true}},
      {"tiny-v4", DrafterKind::kNone, "none", false, false, {false, false}},
      {"tiny-v4-dspark", DrafterKind::kAuto, "dspark", true, true, {true, false}},
      {"tiny-v4-dspark", DrafterKind::kDspark, "dspark", true, true, {true, false}},
      {"tiny-v4-dspark", DrafterKind::kDsparkNgram, "dspark+ngram", true, true, {true, true}},
      {"tiny-v4-dspark", DrafterKind::kMtp, "mtp: the checkpoint has no MTP block (mtp.0.e_proj)"},
      {"tiny-v4-dspark", DrafterKind::kMtpNgram, "mtp+ngram: the checkpoint has no MTP block"},
      {"tiny-v4-dspark", DrafterKind::kNone, "none", false, false, {false, false}},
  };
  const auto backend = make_reference_backend(Numerics::kExact);
  for (const Case& c : cases) {
    const auto checkpoint = Checkpoint::load(std::string(FT_TEST_DATA "/goldens/") + c.model, *backend);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    DraftLimits limits;
    limits.context = 100;
    const auto drafter = make_drafter(c.kind, *backend, **checkpoint, limits);
    if (drafter) {
      EXPECT_EQ((*drafter)->name(), c.want) << c.model;
      EXPECT_EQ((*drafter)->has_model(), c.has_model) << c.want;
      EXPECT_EQ((*drafter)->has_ngram(), c.has_ngram) << c.want;
      const DraftSources sources = default_sources(c.kind, **drafter);
      EXPECT_EQ(sources.use_model, c.sources.use_model) << c.want;
      EXPECT_EQ(sources.use_ngram, c.sources.use_ngram) << c.want;
    } else {
      EXPECT_EQ(drafter.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(drafter.error().message.find(c.want), std::string::npos) << drafter.error().message;
    }
  }
}

TEST(MakeDrafter, AutoWithoutADraftInTheCheckpointLooksUpNgrams) {
  Ngram ngram(1, 10);
  EXPECT_FALSE(default_sources(DrafterKind::kAuto, ngram).use_model);
  EXPECT_TRUE(default_sources(DrafterKind::kAuto, ngram).use_ngram);
}

TEST(None, ProposesNothing) {
  const auto backend = make_reference_backend(Numerics::kExact);
  const auto checkpoint = Checkpoint::load(FT_TEST_DATA "/goldens/tiny-v4", *backend);
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  DraftLimits limits;
  limits.context = 100;
  const auto drafter = make_drafter(DrafterKind::kNone, *backend, **checkpoint, limits);
  ASSERT_TRUE(drafter);
  EXPECT_EQ((*drafter)->depth_max(), 0);
  (*drafter)->open(0, 100);
  EXPECT_EQ((*drafter)->snapshot(0, 0), nullptr);
  ProposeRequest request;
  request.nodes_max = 5;
  DraftTree tree;
  tree.nodes.resize(2);  // left over from another step
  (*drafter)->propose(std::span(&request, 1), std::span(&tree, 1));
  EXPECT_TRUE(tree.nodes.empty());
}

}  // namespace
}  // namespace ft::draft
