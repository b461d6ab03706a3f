#include "eval/accept/command.h"

#include <gtest/gtest.h>

#include <fstream>

#include "eval/accept/journal.h"
#include "eval/report/comparison.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

AcceptOptions small(const TempDir& directory) {
  AcceptOptions options;
  options.session.model = FT_MODELS "/v4-nano-dspark";
  options.session.backend = "cpu";
  options.session.cpu.threads = 1;
  options.prompts = {FT_TEST_DATA "/nano/eval_qa.jsonl"};
  options.prompts_max = 6;
  options.warm_up = 2;
  options.max_tokens = 12;
  options.concurrency = 3;
  options.grids = {{.rows = {1, 6}, .temperatures = {1.0}, .rules = {"coupled"}, .trees = {"best-first"}},
                   {.rows = {6}, .temperatures = {1.0}, .rules = {"rejection"}, .trees = {"chain"}}};
  options.out = directory.path();
  return options;
}

// A result without what depends on the speed of the machine and on the moment.
std::string without_times(ResultFile result) {
  result.started = "";
  for (Json& row : result.rows) row.erase("steps");
  for (Json& cell : result.figures["cells"]) cell.erase("per_step");
  return result.json();
}

TEST(AcceptCommand, AnInterruptedGridGoesOnAndEndsTheSame) {
  const TempDir whole_folder;
  const TempDir cut_folder;
  const auto whole = run_accept_grid(small(whole_folder), nullptr);
  ASSERT_TRUE(whole) << whole.error().message;
  ASSERT_EQ(whole->rows.size(), 3u);
  // Two cells were done and the third was being written when the machine went down.
  std::ifstream journal(whole_folder.file("accept.journal.jsonl"));
  std::string text;
  std::string line;
  for (int i = 0; i < 3 && std::getline(journal, line); ++i) text += line + "\n";
  std::getline(journal, line);
  cut_folder.write("accept.journal.jsonl", text + line.substr(0, line.size() / 2));
  const auto resumed = run_accept_grid(small(cut_folder), nullptr);
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(without_times(*resumed), without_times(*whole));
  // What was done before is taken as it was, times included; and a finished grid comes back as it is.
  EXPECT_EQ(resumed->rows[0], whole->rows[0]);
  EXPECT_EQ(resumed->rows[1], whole->rows[1]);
  EXPECT_EQ(resumed->started, whole->started);
  EXPECT_EQ(run_accept_grid(small(cut_folder), nullptr)->json(), resumed->json());
}

TEST(AcceptCommand, AnotherExperimentsJournalIsRefused) {
  const TempDir folder;
  AcceptOptions options = small(folder);
  options.grids.resize(1);
  options.grids[0].rows = {1};
  options.prompts_max = 2;
  ASSERT_TRUE(run_accept_grid(options, nullptr));
  options.seed = 5;
  const auto other = run_accept_grid(options, nullptr);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message,
            folder.file("accept.journal.jsonl") +
                " belongs to another experiment: name another folder, or begin anew with --fresh");
  options.fresh = true;
  EXPECT_TRUE(run_accept_grid(options, nullptr));
}

TEST(AcceptCommand, WritesEveryForm) {
  const TempDir folder;
  AcceptOptions options = small(folder);
  options.phases = 2;
  options.prompts_max = 3;
  options.command = {"foretoken-eval", "accept", "--out", folder.path()};
  const std::string text = folder.file("text");
  std::FILE* out = std::fopen(text.c_str(), "w");
  const auto done = run_accept(options, out);
  std::fclose(out);
  ASSERT_TRUE(done) << done.error().message;
  const auto read = read_result(folder.file("accept.json"));
  ASSERT_TRUE(read) << read.error().message;
  // Every prompt ran once per phase, and plain decoding emits one token a step.
  EXPECT_EQ(read->rows[0]["prompts"][0]["requests"], 2);
  EXPECT_EQ(read->figures["cells"][0]["length_token_weighted"]["value"], 1.0);
  for (const char* name : {"accept.html", "accept.md", "accept.csv"})
    EXPECT_GT(std::filesystem::file_size(folder.file(name)), 500u) << name;
  // Any two cells can be compared afterwards.
  Document document;
  ASSERT_TRUE(add_comparison({*read}, "6 rows, coupled", "1 rows, coupled", document));
  const Table& table = std::get<Table>(document.blocks.front());
  EXPECT_EQ(table.rows.front()[0].text, "all");
  EXPECT_GT(*table.rows.front()[3].number, 1.5);  // over plain decoding
  const auto missing = add_comparison({*read}, "7 rows", "1 rows", document);
  ASSERT_FALSE(missing);
  EXPECT_TRUE(
      missing.error().message.starts_with("no cell is named like \"7 rows\"; there are\n  eval_qa auto"));
}

TEST(AcceptCommand, CellsThatShouldSayTheSameAreCompared) {
  CellRun a;
  a.cell = {"d", "auto", 0, 6, 1.0, "coupled", "chain", "as-is"};
  a.prompts = {{4, "", {}, "aa"}};
  CellRun b = a;
  b.cell.rows = 8;
  EXPECT_TRUE(check_same_tokens({a, b}));
  b.prompts[0].digest = "bb";
  EXPECT_EQ(check_same_tokens({a, b}).error().message,
            "prompt 4: the tokens of \"d auto, chain 8 rows, coupled, T 1\" and of \"d auto, chain 6 rows, "
            "coupled, T 1\" "
            "differ");
  // Another rule samples other tokens.
  b.cell.rule = "rejection";
  EXPECT_TRUE(check_same_tokens({a, b}));
}

}  // namespace
}  // namespace ft::eval
