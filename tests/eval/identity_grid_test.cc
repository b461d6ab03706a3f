#include "eval/identity_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "eval/identity_command.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

TEST(IdentityGrid, HasEveryCombinationOnce) {
  const std::vector<IdentityCell> cells = identity_cells("dspark");
  std::set<std::string> names;
  for (const IdentityCell& cell : cells) EXPECT_TRUE(names.insert(cell.name()).second) << cell.name();
  for (const char* drafter : {"dspark", "dspark+ngram", "ngram"})
    for (const char* nodes : {"4", "16", "adaptive"})
      for (const char* shape : {"tree", "chain"})
        for (int concurrency : {1, 8})
          for (int threads : {1, 2})
            EXPECT_TRUE(
                names.contains(fmt::format("{} {} {} c{} t{}", drafter, nodes, shape, concurrency, threads)));
  EXPECT_TRUE(names.contains("none 1 tree c1 t1"));
  EXPECT_TRUE(names.contains("dspark+ngram adaptive tree c8 t2 mixed prefix preempt forks canary"));
  for (const IdentityCell& cell : identity_cells(""))
    EXPECT_TRUE(cell.drafter == "none" || cell.drafter == "ngram");
}

TEST(IdentityGrid, AsksForAllSamplingsAndForWhatTheCellIsAbout) {
  constexpr size_t kPool = 20;
  for (const IdentityCell& cell : identity_cells("mtp")) {
    std::set<size_t> samplings;
    std::map<std::pair<size_t, size_t>, size_t> copies;
    const auto requests = identity_requests(cell, 10, 3, kPool);
    EXPECT_GE(requests.size(), cell.preempts ? 6u : 10u);
    for (const IdentityRequest& request : requests) {
      ASSERT_LT(request.prompt, kPool);
      samplings.insert(request.sampling);
      ++copies[{request.prompt, request.sampling}];
      EXPECT_EQ(request.longer, cell.preempts);
      // Prefixes are cached in whole pages, so only a long prompt can hit.
      EXPECT_TRUE(!cell.repeats || request.prompt >= kPool / 2);
    }
    EXPECT_TRUE(cell.forks || samplings.size() == 4u);
    for (const auto& [key, count] : copies) EXPECT_EQ(count % (cell.forks ? kIdentityForkSize : 1), 0u);
  }
  // Equal requests have equal seeds, others do not.
  std::set<uint64_t> seeds;
  for (size_t prompt = 0; prompt < 5; ++prompt)
    for (size_t sampling = 0; sampling < 4; ++sampling)
      for (uint64_t variant = 0; variant < 4; ++variant)
        EXPECT_TRUE(seeds.insert(IdentityRequest{prompt, sampling, variant, false}.seed()).second);
}

TEST(IdentityGrid, CountsEveryTokenThatDiffers) {
  EXPECT_EQ(differing_tokens({1, 2, 3}, {1, 2, 3}), 0);
  EXPECT_EQ(differing_tokens({1, 5, 3}, {1, 2, 4}), 2);
  EXPECT_EQ(differing_tokens({1, 2}, {1, 2, 3, 4}), 2);
  EXPECT_EQ(differing_tokens({1, 2, 3}, {}), 3);
}

TEST(IdentityGrid, MakesLongPromptsOfDialogues) {
  const auto prompts = identity_prompts({{1, 2}, {3}, {4, 5, 6}}, 7);
  ASSERT_EQ(prompts.size(), 6u);
  EXPECT_EQ(prompts[0], (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(prompts[4], (std::vector<int32_t>{3, 4, 5, 6, 1, 2, 3, 4, 5, 6}));
  for (size_t i = 3; i < 6; ++i) EXPECT_GT(prompts[i].size(), 7u);
}

// A thin slice of the grid on both checkpoints; the whole of it is `foretoken-eval identity`.
TEST(FullIdentityCommand, FindsNoDifferenceAndCountsWhatItCompared) {
  const TempDir directory;
  IdentityOptions options;
  options.session.model = FT_MODELS "/v4-nano-dspark";
  options.second_model = FT_MODELS "/v4-nano";
  options.prompts = FT_TEST_DATA "/nano/eval_qa.jsonl";
  options.tokens = 1;
  options.max_tokens = 12;
  options.every = 7;
  options.json = directory.file("identity.json");
  bool clean = false;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> table(std::tmpfile(), std::fclose);
  const auto done = run_identity(options, table.get(), &clean);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(clean);
  const auto json = nlohmann::json::parse(file_bytes(options.json));
  EXPECT_GT(json["total"]["tokens"], 500);
  EXPECT_EQ(json["total"]["mismatches"], 0);
  int64_t tokens = 0;
  std::set<std::string> models;
  for (const auto& cell : json["cells"]) {
    tokens += cell["tokens"].get<int64_t>();
    models.insert(cell["model"]);
  }
  EXPECT_EQ(json["total"]["tokens"], tokens);
  EXPECT_EQ(models.size(), 2u);
}

}  // namespace
}  // namespace ft::eval
