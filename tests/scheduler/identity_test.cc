// The promise: the tokens depend on the model, the prompt, the parameters and the seed, and on nothing else.
// Every cell of a grid of drafters, tree sizes and shapes, concurrency and threads gives the same tokens.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/generate_command.h"
#include "tests/support/loaded_model.h"

namespace ft::scheduler {
namespace {

using Tokens = std::vector<std::vector<int32_t>>;

Tokens nano_prompts(size_t stride) {
  std::ifstream file(FT_TEST_DATA "/nano/nano_goldens.json");
  const nlohmann::json goldens = nlohmann::json::parse(file);
  Tokens prompts;
  for (size_t i = 0; i < goldens["items"].size(); i += stride)
    prompts.push_back(goldens["items"][i]["prompt_ids"].get<std::vector<int32_t>>());
  return prompts;
}

struct Cell {
  const char* model;
  const char* drafter;
  int32_t nodes;
  const char* tree;
  int32_t concurrency;
  int threads;
};

std::string describe(const Cell& cell) {
  return fmt::format("{} {} {} nodes {} concurrency {} threads {}", cell.model, cell.drafter, cell.nodes,
                     cell.tree, cell.concurrency, cell.threads);
}

Tokens run(const Cell& cell, const Tokens& prompts, double temperature, double top_p, uint64_t seed) {
  auto backend = make_cpu_backend(Numerics::kOfficial, cell.threads);
  const auto checkpoint = Checkpoint::load(std::string(FT_MODELS "/") + cell.model, *backend).value();
  eval::GenerateOptions options;
  options.drafter = cell.drafter;
  options.tree_nodes = cell.nodes;
  options.tree = cell.tree;
  options.concurrency = cell.concurrency;
  options.max_tokens = 40;
  options.ignore_eos = true;  // beyond its answer the model is less sure of itself, and the seed matters
  options.temperature = temperature;
  options.top_p = top_p;
  options.seed = seed;
  const auto settings = eval::engine_options(options, checkpoint->config(), prompts).value();
  const auto engine = Engine::create(*backend, *checkpoint, settings).value();
  Tokens tokens;
  auto completions = eval::generate(*engine, options, prompts, nullptr).value();
  for (eval::Completion& completion : completions) tokens.push_back(std::move(completion.tokens));
  return tokens;
}

class FullIdentity : public ::testing::TestWithParam<std::tuple<double, double>> {};

TEST_P(FullIdentity, SameTokensInEveryCell) {
  const auto [temperature, top_p] = GetParam();
  const Tokens prompts = nano_prompts(5);
  ASSERT_EQ(prompts.size(), 8u);
  const uint64_t seed = 1234;
  // Both checkpoints hold the same target, so even the drafters of different checkpoints must agree.
  const Tokens expected = run({"v4-nano", "none", 1, "chain", 1, 1}, prompts, temperature, top_p, seed);
  size_t compared = 0;
  for (const Cell& cell : std::initializer_list<Cell>{
           {"v4-nano", "none", 1, "chain", 8, 2},
           {"v4-nano", "mtp", 4, "chain", 1, 1},
           {"v4-nano", "mtp", 16, "best-first", 8, 1},
           {"v4-nano", "ngram", 4, "best-first", 8, 1},
           {"v4-nano", "ngram", 16, "chain", 1, 2},
           {"v4-nano-dspark", "dspark", 1, "chain", 8, 1},
           {"v4-nano-dspark", "dspark", 4, "best-first", 1, 1},
           {"v4-nano-dspark", "dspark", 6, "chain", 8, 2},
           {"v4-nano-dspark", "dspark", 16, "best-first", 8, 1},
           {"v4-nano-dspark", "none", 1, "chain", 3, 1},
       }) {
    const Tokens tokens = run(cell, prompts, temperature, top_p, seed);
    EXPECT_EQ(tokens, expected) << describe(cell);
    for (const auto& row : tokens) compared += row.size();
  }
  EXPECT_GT(compared, 500u);
  // The grid would prove nothing if the seed did not matter where it should.
  const Tokens reseeded =
      run({"v4-nano", "none", 1, "chain", 8, 1}, prompts, temperature, top_p, seed + 1000);
  EXPECT_EQ(reseeded == expected, temperature == 0.0);
}

INSTANTIATE_TEST_SUITE_P(Grid, FullIdentity,
                         ::testing::Values(std::tuple(0.0, 1.0), std::tuple(0.7, 1.0), std::tuple(1.0, 1.0),
                                           std::tuple(1.0, 0.9)));

}  // namespace
}  // namespace ft::scheduler
