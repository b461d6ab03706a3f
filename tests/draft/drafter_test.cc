#include <gtest/gtest.h>

#include "draft/drafter_registry.h"
#include "tests/support/drafter_choice.h"
#include "tests/support/loaded_model.h"

namespace ft::draft {
namespace {

TEST(DrafterChoice, ParsesTheNamesOfTheFlag) {
  const std::vector<std::string> expected = {"auto",         "dspark",    "mtp", "ngram",
                                             "dspark+ngram", "mtp+ngram", "none"};
  EXPECT_EQ(drafter_names(), expected);
  EXPECT_EQ(drafter_names_text(), "auto, dspark, mtp, ngram, dspark+ngram, mtp+ngram or none");
  EXPECT_EQ(*parse_drafter("auto"), DrafterChoice{});
  for (const std::string& name : expected) {
    const auto choice = parse_drafter(name);
    ASSERT_TRUE(choice) << name;
    EXPECT_EQ(choice->automatic, name == "auto");
    if (choice->automatic) continue;
    EXPECT_EQ(drafter_name(choice->model == nullptr ? "" : choice->model->name, choice->ngram), name);
  }
  for (const char* name : {"", "MTP", "dspark ", "eagle", "ngram+mtp"}) {
    const auto choice = parse_drafter(name);
    ASSERT_FALSE(choice) << name;
    EXPECT_EQ(choice.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(choice.error().message.find(fmt::format("\"{}\"", name)), std::string::npos)
        << choice.error().message;
    EXPECT_NE(choice.error().message.find(drafter_names_text()), std::string::npos) << choice.error().message;
  }
}

TEST(MakeDrafter, TakesWhatTheCheckpointCarriesOrSaysWhatIsMissing) {
  struct Case {
    const char* model;
    DrafterChoice kind;
    const char* want;  // a name, or a part of the message
    bool has_model = false;
    bool has_ngram = false;
    DraftSources sources = {};
  };
  const Case cases[] = {
      {"tiny-v4", support::drafter("auto"), "mtp", true, true, {true, false}},
      {"tiny-v4", support::drafter("mtp"), "mtp", true, true, {true, false}},
      {"tiny-v4", support::drafter("mtp+ngram"), "mtp+ngram", true, true, {true, true}},
      {"tiny-v4", support::drafter("dspark"), "dspark: the checkpoint has no DSpark draft (mtp.0.main_proj)"},
      {"tiny-v4", support::drafter("dspark+ngram"), "dspark+ngram: the checkpoint has no DSpark draft"},
      {"tiny-v4", support::drafter("ngram"), "ngram", false, true, {false, true}},
      {"tiny-v4", support::drafter("none"), "none", false, false, {false, false}},
      {"tiny-v4-dspark", support::drafter("auto"), "dspark", true, true, {true, false}},
      {"tiny-v4-dspark", support::drafter("dspark"), "dspark", true, true, {true, false}},
      {"tiny-v4-dspark", support::drafter("dspark+ngram"), "dspark+ngram", true, true, {true, true}},
      {"tiny-v4-dspark", support::drafter("mtp"), "mtp: the checkpoint has no MTP block (mtp.0.e_proj)"},
      {"tiny-v4-dspark", support::drafter("mtp+ngram"), "mtp+ngram: the checkpoint has no MTP block"},
      {"tiny-v4-dspark", support::drafter("none"), "none", false, false, {false, false}},
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
      const DraftSources sources = default_sources(c.kind, (*drafter)->has_model(), (*drafter)->has_ngram());
      EXPECT_EQ(sources.use_model, c.sources.use_model) << c.want;
      EXPECT_EQ(sources.use_ngram, c.sources.use_ngram) << c.want;
    } else {
      EXPECT_EQ(drafter.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(drafter.error().message.find(c.want), std::string::npos) << drafter.error().message;
    }
  }
}

TEST(MakeDrafter, AutoWithoutADraftInTheCheckpointLooksUpNgrams) {
  const DraftSources sources = default_sources(support::drafter("auto"), false, true);
  EXPECT_FALSE(sources.use_model);
  EXPECT_TRUE(sources.use_ngram);
}

TEST(None, ProposesNothing) {
  const auto backend = make_reference_backend(Numerics::kExact);
  const auto checkpoint = Checkpoint::load(FT_TEST_DATA "/goldens/tiny-v4", *backend);
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  DraftLimits limits;
  limits.context = 100;
  const auto drafter = make_drafter(support::drafter("none"), *backend, **checkpoint, limits);
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
