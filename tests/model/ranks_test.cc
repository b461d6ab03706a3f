// Whole models on several ranks, which are threads here: logits, hidden streams and routes have the bits of one
// rank. The checkpoints' widths do not divide in eight: shards are uneven, and some ranks own nothing
// of a layer. A made one has widths that divide.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "core/cpu/target.h"
#include "eval/prefill.h"
#include "eval/random_checkpoint.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_comm.h"

namespace ft {
namespace {

constexpr int32_t kRows = 24;

// What a model says to some tokens, read in pieces.
struct Outcome {
  std::vector<float> logits;
  std::vector<float> hidden;  // streams, and what a draft reads of them
  std::vector<int32_t> routes;
};

template <class Value>
bool same_bits(const std::vector<Value>& a, const std::vector<Value>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Value)) == 0;
}

Outcome outcome_of(Backend& backend, const std::string& path) {
  const auto checkpoint = Checkpoint::load(path, backend).value();
  CacheLimits limits;
  limits.rows = kRows;
  limits.sequences = 1;
  limits.context = limits.total_tokens = 256;
  Model model(backend, *checkpoint, limits);
  std::mt19937 random(5);
  std::vector<int32_t> tokens(40);
  const auto vocab = static_cast<uint32_t>(model.config().vocab_size);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % vocab);
  Outcome outcome;
  const SequenceId sequence = model.cache().open(static_cast<int64_t>(tokens.size())).value();
  eval::prefill(model, sequence, tokens, 17, [&](const ForwardOutput& output, int64_t, int64_t count) {
    outcome.logits.insert(outcome.logits.end(), output.logits.begin(), output.logits.end());
    for (const Matrix& hidden : {output.streams, output.auxiliary}) {
      std::vector<float> rows(static_cast<size_t>(hidden.rows * hidden.cols));
      backend.download(rows.data(), hidden.data, rows.size() * sizeof(float));
      outcome.hidden.insert(outcome.hidden.end(), rows.begin(), rows.end());
    }
    const auto routes = model.fetch_routing(count);
    outcome.routes.insert(outcome.routes.end(), routes.begin(), routes.end());
  });
  return outcome;
}

std::vector<Outcome> on_ranks(int count, const std::string& path,
                              const std::function<std::unique_ptr<Backend>(const RankGroup&)>& make) {
  test::ThreadGroup group(count);
  std::vector<Outcome> outcomes(static_cast<size_t>(count));
  group.run([&](const RankGroup& ranks) {
    outcomes[static_cast<size_t>(ranks.rank)] = outcome_of(*make(ranks), path);
  });
  return outcomes;
}

void expect_same_on_any_ranks(const std::string& path, const std::string& label,
                              const std::function<std::unique_ptr<Backend>(const RankGroup&)>& make) {
  const Outcome alone = on_ranks(1, path, make)[0];
  ASSERT_FALSE(alone.logits.empty());
  for (const int count : {2, 4, 8}) {
    SCOPED_TRACE(label + ", " + std::to_string(count) + " ranks, " + path);
    for (const Outcome& outcome : on_ranks(count, path, make)) {
      EXPECT_TRUE(same_bits(outcome.logits, alone.logits));
      EXPECT_TRUE(same_bits(outcome.hidden, alone.hidden));
      EXPECT_EQ(outcome.routes, alone.routes);
    }
  }
}

// The made model: its attention groups, expert columns and words divide in eight.
std::string divisible_checkpoint(const TempDir& dir) {
  nlohmann::json config = nlohmann::json::parse(std::ifstream(FT_TEST_DATA "/goldens/tiny-v4/config.json"));
  config["num_attention_heads"] = 16;
  config["o_groups"] = 8;
  config["moe_intermediate_size"] = 1024;
  config["vocab_size"] = 2048;
  const std::string path = dir.path() + "/made.json";
  std::ofstream(path) << config.dump();
  eval::RandomCheckpointOptions options;
  options.config = path;
  options.out = dir.path() + "/made";
  const auto made = eval::make_random_checkpoint(options);
  EXPECT_TRUE(made) << made.error().message;
  return options.out;
}

class Ranks : public ::testing::TestWithParam<Numerics> {
 protected:
  Ranks()
      : paths_{FT_TEST_DATA "/goldens/tiny-v4", FT_TEST_DATA "/goldens/tiny-v4-dspark", FT_MODELS "/v4-nano",
               divisible_checkpoint(dir_)} {}

  TempDir dir_;
  std::vector<std::string> paths_;
};

TEST_P(Ranks, OfTheReferenceAgreeWithOne) {
  for (const std::string& path : {paths_[0], paths_[3]}) {
    expect_same_on_any_ranks(
        path, "reference", [](const RankGroup& ranks) { return make_reference_backend(GetParam(), ranks); });
  }
}

TEST_P(Ranks, OfTheCpuAgreeWithOneOnEveryTarget) {
  for (const std::string_view target : cpu::available_targets()) {
    ASSERT_TRUE(cpu::use_target(target));
    for (const std::string& path : paths_) {
      expect_same_on_any_ranks(path, std::string(target),
                               [](const RankGroup& ranks) { return make_cpu_backend(GetParam(), 1, ranks); });
    }
  }
  ASSERT_TRUE(cpu::use_target("auto"));
}

INSTANTIATE_TEST_SUITE_P(BothNumerics, Ranks, ::testing::Values(Numerics::kExact, Numerics::kOfficial),
                         [](const auto& numerics) {
                           return numerics.param == Numerics::kExact ? "Exact" : "Official";
                         });

}  // namespace
}  // namespace ft
