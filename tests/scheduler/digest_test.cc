// One digest of what the models compute and of what the engine says, held against its value: a change of the
// code that is to change no bit changes none of these.
//
// The CPU backend gives the same bits on every instruction set; those that this processor has are all run.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ranges>
#include <semaphore>
#include <utility>

#include "core/cpu/target.h"
#include "core/fnv.h"
#include "eval/prefill.h"
#include "scheduler/engine.h"
#include "tests/support/drafter_choice.h"
#include "tests/support/loaded_model.h"

namespace ft::scheduler {
namespace {

using support::LoadedModel;

// Of a sequence: all kinds of attention layers have closed blocks by then.
constexpr size_t kTokensMost = 160;

// Both numerics, all golden checkpoints, the logits of every row.
constexpr uint64_t kReferenceLogits = 0x007e5ee61fa4b838;

// The same on the CPU backend.
constexpr uint64_t kCpuLogits = 0xd31f352498603374;
// Tokens and log probabilities of the engine's cells on the CPU backend.
constexpr uint64_t kGrid = 0xa4b0cce6099a8078;

uint64_t add(std::span<const float> values, uint64_t digest) {
  return fnv1a(values | std::views::transform([](float value) { return std::bit_cast<uint32_t>(value); }),
               digest);
}

uint64_t golden_logits(const std::string& backend) {
  uint64_t digest = kFnvStart;
  for (const Numerics numerics : {Numerics::kExact, Numerics::kOfficial})
    for (const std::string name : {"tiny-v4", "tiny-v4-r128", "tiny-v4-dspark"}) {
      const std::string path = FT_TEST_DATA "/goldens/" + name;
      LoadedModel loaded(path, backend, numerics, 64);
      const support::GoldenFile goldens(path + "/goldens.safetensors");
      size_t values = 0;
      for (const std::string& tokens : goldens.names("tokens.L")) {
        const std::span<const int32_t> all = goldens.i32(tokens);
        const auto logits =
            eval::sequence_logits(*loaded.model, all.first(std::min(all.size(), kTokensMost)), 64);
        if (!logits) ADD_FAILURE() << logits.error().message;
        digest = add(*logits, digest);
        values += logits->size();
      }
      EXPECT_GT(values, 10'000u) << path;
    }
  return digest;
}

// --- the engine ---

struct Cell {
  const char* model;
  const char* drafter;
  int32_t tree_nodes;
  int32_t requests_at_once;
  int threads;
};

constexpr Cell kPlain = {"v4-nano", "none", 1, 1, 1};
// Those that draft: the first on every instruction set, the others on the best one.
constexpr Cell kCells[] = {
    {"v4-nano-dspark", "dspark", 6, 8, 2},
    {"v4-nano-dspark", "dspark+ngram", 0, 8, 1},
    {"v4-nano", "mtp", 16, 3, 1},
    {"v4-nano", "ngram", 4, 8, 1},
};

constexpr int64_t kMaxTokens = 40;

std::vector<GenerateRequest> grid_requests() {
  std::ifstream file(FT_TEST_DATA "/nano/nano_goldens.json");
  const nlohmann::json goldens = nlohmann::json::parse(file);
  constexpr std::array<std::array<double, 2>, 4> kTemperatureAndTopP = {
      {{0.0, 1.0}, {0.7, 1.0}, {1.0, 1.0}, {1.0, 0.9}}};
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < 8; ++i) {
    GenerateRequest request;
    request.id = fmt::format("{}", i);
    request.prompt = goldens["items"][5 * i]["prompt_ids"].get<std::vector<int32_t>>();
    request.max_tokens = kMaxTokens;
    request.ignore_eos = true;
    request.sampling.temperature = kTemperatureAndTopP[i % 4][0];
    request.sampling.top_p = kTemperatureAndTopP[i % 4][1];
    request.sampling.seed = 77 + i;
    request.sampling.logprobs = 3;
    requests.push_back(std::move(request));
  }
  return requests;
}

uint64_t grid_digest(const Cell& cell) {
  const auto opened = support::open_checkpoint(std::string(FT_MODELS "/") + cell.model,
                                               cell.threads == 1 ? "cpu1" : "cpu", Numerics::kOfficial);
  EngineOptions options;
  options.max_sequences = cell.requests_at_once;
  options.context = 512;
  options.batch_rows = 64;
  options.prefill_chunk = 32;
  options.drafter = support::drafter(cell.drafter);
  options.tree_nodes = cell.tree_nodes;
  const auto engine = Engine::create(*opened.backend, *opened.checkpoint, options).value();
  const auto ended = std::make_shared<std::counting_semaphore<>>(0);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (GenerateRequest& request : grid_requests())
    streams.push_back(engine->submit(std::move(request), [ended] { ended->release(); }).value());
  uint64_t digest = kFnvStart;
  for (const auto& stream : streams) {
    while (!stream->finished()) ended->acquire();
    int64_t tokens = 0;
    for (TokenEvent event; stream->pop(event); ++tokens) {
      digest = fnv1a(std::array{event.token}, digest);
      digest = add(std::array{event.logprob}, digest);
      for (const TokenLogprob& top : event.top) {
        digest = fnv1a(std::array{top.token}, digest);
        digest = add(std::array{top.logprob}, digest);
      }
    }
    EXPECT_EQ(tokens, kMaxTokens);
  }
  return digest;
}

// Calls `run` once per instruction set that this processor has, the best one first.
template <class Run>
void for_each_instruction_set(Run run) {
  for (const std::string_view target : cpu::available_targets()) {
    ASSERT_TRUE(cpu::use_target(target));
    run(target);
  }
  ASSERT_TRUE(cpu::use_target("auto"));
}

class Digest : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "SKIPPED: a sanitizer looks at host logic, and whole models would take it too long";
#endif
  }
};

TEST_F(Digest, OfLogitsOnTheReferenceBackend) {
  const uint64_t digest = golden_logits("reference");
  fmt::print(stderr, "logits, reference: {:#018x}\n", digest);
  EXPECT_EQ(digest, kReferenceLogits) << fmt::format("{:#018x}", digest);
}

TEST_F(Digest, OfLogitsOnTheCpuBackend) {
  for_each_instruction_set([](std::string_view target) {
    const uint64_t digest = golden_logits("cpu");
    fmt::print(stderr, "logits, {}: {:#018x}\n", target, digest);
    EXPECT_EQ(digest, kCpuLogits) << fmt::format("{}: {:#018x}", target, digest);
  });
}

TEST_F(Digest, OfWhatTheEngineSaysInCellsOfTheIdentityGrid) {
  size_t cells = std::size(kCells);
  for_each_instruction_set([&](std::string_view target) {
    const uint64_t plain = grid_digest(kPlain);
    fmt::print(stderr, "tokens and log probabilities, {}: {:#018x}\n", target, plain);
    EXPECT_EQ(plain, kGrid) << fmt::format("{}: {:#018x}", target, plain);
    for (const Cell& cell : std::span(kCells).first(std::exchange(cells, 1)))
      EXPECT_EQ(grid_digest(cell), plain)
          << fmt::format("{}: {} rows on {}", target, cell.tree_nodes, cell.model);
  });
}

}  // namespace
}  // namespace ft::scheduler
