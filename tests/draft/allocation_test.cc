// A drafter at work takes no memory: everything is set aside when it is made and when a sequence opens.
#include <gtest/gtest.h>

#include "core/allocations.h"
#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

struct AllocationCase {
  const char* model;
  DrafterChoice kind;
  const char* name;
};

class DrafterAllocation : public ::testing::TestWithParam<AllocationCase> {};

TEST_P(DrafterAllocation, NoneInAStepAfterTheFirst) {
  DraftHarness harness(std::string(FT_TEST_DATA "/goldens/") + GetParam().model, "cpu1", Numerics::kExact,
                       GetParam().kind);
  Model& model = *harness.loaded.model;
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 60; ++i) tokens.push_back(100 + i % 7);
  Growing growing[] = {harness.open(tokens), harness.open(tokens)};
  DraftTree trees[2];
  for (DraftTree& tree : trees) tree.nodes.reserve(15);
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  for (int step = 0; step < 11; ++step) {
    // Steps of 5 tokens, as accepted drafts make them; position 59 is the last anchor.
    std::vector<Row> rows;
    std::vector<int32_t> path;
    for (const Growing& one : growing)
      for (int32_t i = 0; i < 5; ++i) {
        const auto position = static_cast<int32_t>(one.committed) + i;
        const auto index = static_cast<int32_t>(rows.size());
        rows.push_back(
            {one.tokens[static_cast<size_t>(position)], position, one.id, i == 0 ? kCommitted : index - 1});
        path.push_back(index);
      }
    KvTransaction transaction = model.cache().begin();
    const ForwardOutput output = model.forward(transaction.stage(rows), {});
    std::move(transaction).commit(path);
    std::vector<ObservedRows> observed;
    for (size_t s = 0; s < 2; ++s)
      observed.push_back(
          {growing[s].id, growing[s].committed, std::span(path).subspan(5 * s, 5),
           std::span(growing[s].tokens).subspan(static_cast<size_t>(growing[s].committed) + 1, 5)});
    const int64_t before_observe = allocation_count();
    harness.drafter->observe(output, observed);
    const int64_t in_observe = allocation_count() - before_observe;
    for (Growing& one : growing) one.committed += 5;

    if (step == 4 || step == 5 || step == 6) {
      EXPECT_EQ(in_observe, 0) << "step " << step;
      continue;  // nobody asks for a while, then for everything at once
    }
    const double temperature = step % 2 == 0 ? 0.0 : 0.9;
    ProposeRequest requests[] = {
        harness.request(growing[0], temperature, 15, TreeShape::kBestFirst),
        harness.request(growing[1], temperature, step % 3 == 0 ? 15 : 4, TreeShape::kBestFirst)};
    if (step == 1 || step == 9) requests[1].draw = true;
    for (DraftTree& tree : trees) tree.probability.reserve(8 * vocab);
    const int64_t before_propose = allocation_count();
    harness.drafter->propose(requests, trees);
    const int64_t in_propose = allocation_count() - before_propose;
    EXPECT_FALSE(step > 1 && trees[0].nodes.empty());
    if (step <= 1) continue;  // the scratch of the ranking takes its size once
    EXPECT_EQ(in_observe, 0) << "step " << step;
    EXPECT_EQ(in_propose, 0) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Drafters, DrafterAllocation,
    ::testing::Values(AllocationCase{"tiny-v4-dspark", support::drafter("dspark"), "dspark"},
                      AllocationCase{"tiny-v4", support::drafter("mtp"), "mtp"},
                      AllocationCase{"tiny-v4", support::drafter("ngram"), "ngram"},
                      AllocationCase{"tiny-v4-dspark", support::drafter("dspark+ngram"), "dspark_ngram"},
                      AllocationCase{"tiny-v4", support::drafter("mtp+ngram"), "mtp_ngram"}),
    [](const auto& case_info) { return case_info.param.name; });

}  // namespace
}  // namespace ft::draft
