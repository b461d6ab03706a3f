// Decoding takes no memory once warm: every operator new of this program is counted.
#include <gtest/gtest.h>

#include "core/allocations.h"
#include "tests/scheduler/engine_harness.h"
#include "tests/support/drafter_choice.h"
#include "tests/support/loaded_model.h"

namespace ft::scheduler {
namespace {

struct AllocationCase {
  const char* name;
  const char* model;
  draft::DrafterChoice drafter;
  int32_t tree_nodes;
};

class EngineAllocation : public ::testing::TestWithParam<AllocationCase> {};

TEST_P(EngineAllocation, NoneInADecodeStepOnceWarm) {
  auto backend = make_cpu_backend(Numerics::kOfficial, 1);
  const auto checkpoint = Checkpoint::load(std::string(FT_MODELS "/") + GetParam().model, *backend).value();
  EngineOptions options;
  options.max_sequences = 4;
  options.tree_nodes_max = 6;
  options.context = 1024;
  options.prefix_cache_bytes = 0;  // what is kept for later requests is new memory by nature
  options.drafter = GetParam().drafter;
  options.tree_nodes = GetParam().tree_nodes;
  const auto loop = make_loop(*backend, *checkpoint, options, {.set_costs = make_speculation_cheap});
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int32_t i = 0; i < 4; ++i) {
    GenerateRequest request;
    // "What is 19 - 17?", over and over: what comes next is easy to guess.
    for (int32_t k = 0; k <= 3 * i; ++k)
      request.prompt.insert(request.prompt.end(),
                            {0, 4, 350, 292, 1823, 1850, 1862, 489, 1823, 1850, 1861, 1858, 5, 7});
    request.max_tokens = 800;
    request.ignore_eos = true;
    request.sampling.temperature = i % 2 == 0 ? 0.0 : 0.7;
    request.sampling.seed = static_cast<uint64_t>(i);
    if (i == 3) request.sampling.frequency_penalty = 0.2;
    if (i == 1) request.sampling.top_p = 0.9;
    streams.push_back(enqueue(*loop, std::move(request)));
  }
  for (int step = 0; step < 40; ++step) ASSERT_TRUE(loop->step());
  int64_t allocations = 0;
  const int64_t tokens_before = loop->stats().generation_tokens;
  const int64_t drafts_before = loop->stats().draft_tokens;
  for (int step = 0; step < 40; ++step) {
    const int64_t before = allocation_count();
    loop->step();
    const int64_t here = allocation_count() - before;
    EXPECT_EQ(here, 0) << "step " << step;
    allocations += here;
  }
  EXPECT_EQ(allocations, 0);
  EXPECT_GT(loop->stats().draft_tokens, drafts_before);
  // All four were decoding all the time.
  EXPECT_GE(loop->stats().generation_tokens - tokens_before, 4 * 40);
  for (const auto& stream : streams) EXPECT_FALSE(stream->finished());
  ASSERT_GT(allocation_count(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Drafters, EngineAllocation,
    ::testing::Values(AllocationCase{"dspark_adaptive", "v4-nano-dspark", support::drafter("dspark"), 0},
                      AllocationCase{"dspark_and_ngram_fixed", "v4-nano-dspark",
                                     support::drafter("dspark+ngram"), 6},
                      AllocationCase{"mtp_adaptive", "v4-nano", support::drafter("mtp"), 0}),
    [](const auto& cell) { return cell.param.name; });

}  // namespace
}  // namespace ft::scheduler
