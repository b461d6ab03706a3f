#include "eval/random_checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/model.h"
#include "core/safetensors.h"
#include "eval/prefill.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

const char* const kConfigs[] = {FT_MODELS "/v4-nano-dspark/config.json", FT_MODELS "/v4-nano/config.json"};

RandomCheckpointOptions options_for(const std::string& config, const std::string& out, uint64_t seed = 1) {
  RandomCheckpointOptions options;
  options.config = config;
  options.out = out;
  options.seed = seed;
  return options;
}

TEST(RandomCheckpoint, LoadsAndRuns) {
  for (const char* config : kConfigs) {
    const TempDir directory;
    int64_t done = 0;
    int64_t total = 0;
    RandomCheckpointOptions options = options_for(config, directory.file("new/model"));
    options.progress = [&](int64_t now, int64_t all) {
      EXPECT_GT(now, done);
      done = now;
      total = all;
    };
    const auto made = make_random_checkpoint(options);
    ASSERT_TRUE(made) << made.error().message;
    auto backend = support::make_test_backend("cpu1", Numerics::kOfficial);
    const auto checkpoint = Checkpoint::load(options.out, *backend);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    EXPECT_EQ(done, total);
    EXPECT_EQ(total, checkpoint_size((*checkpoint)->config()).bytes);
    EXPECT_EQ((*checkpoint)->weights().dspark != nullptr, (*checkpoint)->config().has_dspark());
    CacheLimits limits;
    limits.context = 32;
    limits.rows = 16;
    Model model(*backend, **checkpoint, limits);
    const std::vector<int32_t> tokens = {5, 77, 300, 12, 9, 1500, 42, 8};
    const auto logits = sequence_logits(model, tokens, 8);
    ASSERT_TRUE(logits) << logits.error().message;
    double squares = 0.0;
    for (float logit : *logits) {
      ASSERT_TRUE(std::isfinite(logit));
      squares += logit * logit;
    }
    // Logits differ, and no token has all the probability.
    const double spread = std::sqrt(squares / static_cast<double>(logits->size()));
    EXPECT_GT(spread, 0.05);
    EXPECT_LT(spread, 20.0);
  }
}

TEST(RandomCheckpoint, DependsOnTheSeedAndOnNothingElse) {
  const TempDir directory;
  const auto bytes = [&](const char* name, uint64_t seed) {
    const std::string out = directory.file(name);
    EXPECT_TRUE(make_random_checkpoint(options_for(kConfigs[0], out, seed)));
    EXPECT_EQ(nlohmann::json::parse(file_bytes(out + "/config.json")),
              nlohmann::json::parse(file_bytes(kConfigs[0])));
    return file_bytes(out + "/model.safetensors");
  };
  const std::string first = bytes("a", 1);
  EXPECT_EQ(first, bytes("b", 1));
  EXPECT_NE(first, bytes("c", 2));
}

TEST(RandomCheckpoint, GivesATokenDistinctExperts) {
  const TempDir directory;
  ASSERT_TRUE(make_random_checkpoint(options_for(kConfigs[0], directory.path())));
  const auto index = SafetensorsIndex::open(directory.path());
  ASSERT_TRUE(index) << index.error().message;
  const StoredTensor* table = (*index)->find("layers.0.ffn.gate.tid2eid");
  ASSERT_NE(table, nullptr);
  std::vector<int64_t> ids(static_cast<size_t>(table->size()));
  std::memcpy(ids.data(), table->data, ids.size() * sizeof(int64_t));
  std::set<int64_t> used;
  for (size_t i = 0; i < ids.size(); i += 2) {
    ASSERT_NE(ids[i], ids[i + 1]);
    used.insert(ids[i]);
  }
  EXPECT_EQ(used.size(), 8u);
}

TEST(RandomCheckpoint, SaysWhatIsWrong) {
  const TempDir directory;
  const auto absent = make_random_checkpoint(options_for(directory.file("no.json"), directory.file("x")));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  const std::string broken = directory.write("broken.json", "{}");
  EXPECT_FALSE(make_random_checkpoint(options_for(broken, directory.file("x"))));
  directory.write("model.safetensors", "precious");
  const auto taken = make_random_checkpoint(options_for(kConfigs[0], directory.path()));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(file_bytes(directory.file("model.safetensors")), "precious");
}

}  // namespace
}  // namespace ft::eval
