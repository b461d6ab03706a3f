#include "eval/draft_command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/loaded_model.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

using support::GoldenFile;

struct Tiny {
  explicit Tiny(const std::string& name)
      : path(std::string(FT_TEST_DATA "/goldens/") + name),
        backend(support::make_test_backend("cpu1", Numerics::kExact)),
        checkpoint(std::move(*Checkpoint::load(path, *backend))),
        goldens(path + "/goldens.safetensors") {}

  std::vector<int32_t> tokens(const std::string& name) const {
    const auto ids = goldens.i32(name);
    return {ids.begin(), ids.end()};
  }

  std::string path;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  GoldenFile goldens;
};

void expect_near(std::span<const float> got, std::span<const float> want, const std::string& name) {
  ASSERT_EQ(got.size(), want.size()) << name;
  double worst = 0.0;
  for (size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want[i]));
  EXPECT_LE(worst, 1e-4) << name;
}

TEST(DraftCommand, WritesTheGoldenDsparkDrafts) {
  const Tiny tiny("tiny-v4-dspark");
  const TempDir directory;
  const std::vector<std::string> lengths = {"L2", "L16", "L37"};
  std::vector<std::vector<int32_t>> sequences;
  for (const std::string& length : lengths) sequences.push_back(tiny.tokens("tokens." + length));
  const std::string path = directory.file("drafts.safetensors");
  const auto done = run_draft(*tiny.backend, *tiny.checkpoint, sequences, path);
  ASSERT_TRUE(done) << done.error().message;
  const GoldenFile written(path);
  for (size_t i = 0; i < lengths.size(); ++i) {
    const std::string suffix = "." + std::to_string(i);
    const std::string prefix = "draft.exact." + lengths[i] + ".r0.";
    for (const char* name : {"base_logits", "logits", "confidence"})
      expect_near(written.f32(name + suffix), tiny.goldens.f32(prefix + name), name + suffix);
    for (const char* name : {"tokens", "anchor"})
      EXPECT_TRUE(std::ranges::equal(written.i32(name + suffix), tiny.goldens.i32(prefix + name))) << name;
    EXPECT_EQ(written.tensor("logits" + suffix).shape, (std::vector<int64_t>{5, 512}));
    EXPECT_FALSE(written.has("mtp_logits" + suffix));
  }
}

TEST(DraftCommand, WritesTheGoldenMtpLogitsInAnyChunks) {
  const Tiny tiny("tiny-v4");
  const TempDir directory;
  const std::vector<std::vector<int32_t>> sequences = {tiny.tokens("detail.tokens")};
  std::string first;
  for (int32_t chunk : {128, 5}) {
    const std::string path = directory.file(std::to_string(chunk));
    const auto done = run_draft(*tiny.backend, *tiny.checkpoint, sequences, path, chunk);
    ASSERT_TRUE(done) << done.error().message;
    const GoldenFile written(path);
    EXPECT_TRUE(
        std::ranges::equal(written.i32("mtp_input_ids.0"), tiny.goldens.i32("detail.exact.mtp.input_ids")));
    expect_near(written.f32("mtp_logits.0"), tiny.goldens.f32("detail.exact.mtp.logits"), "mtp_logits.0");
    EXPECT_FALSE(written.has("logits.0"));
    if (first.empty()) first = file_bytes(path);
    EXPECT_EQ(file_bytes(path), first) << "chunks of " << chunk;
  }
}

TEST(DraftCommand, NamesTheSequenceThatCannotBeRun) {
  const Tiny tiny("tiny-v4-dspark");
  const TempDir directory;
  struct Case {
    std::vector<int32_t> tokens;
    ErrorCode code;
    const char* part;
  };
  const Case cases[] = {
      {{}, ErrorCode::kInvalidArgument, "sequence 1 is empty"},
      {{1, 512}, ErrorCode::kInvalidArgument, "sequence 1: token 512"},
      {{-1}, ErrorCode::kInvalidArgument, "sequence 1: token -1"},
      {std::vector<int32_t>(513, 1), ErrorCode::kTooLarge, "sequence 1 has 513 tokens"},
  };
  for (const Case& c : cases) {
    const std::vector<std::vector<int32_t>> sequences = {{1, 2}, c.tokens};
    const auto done = run_draft(*tiny.backend, *tiny.checkpoint, sequences, directory.file("out"));
    ASSERT_FALSE(done) << c.part;
    EXPECT_EQ(done.error().code, c.code);
    EXPECT_NE(done.error().message.find(c.part), std::string::npos) << done.error().message;
  }
}

}  // namespace
}  // namespace ft::eval
