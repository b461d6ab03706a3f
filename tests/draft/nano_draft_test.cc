// The drafts of the trained nano checkpoints against their reference outputs (tests/data/nano, exact mode).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/mtp.h"
#include "draft/greedy_block.h"
#include "tests/draft/draft_harness.h"

namespace ft::draft {
namespace {

struct Item {
  int id;
  bool ties;  // the indexer cuts entries whose scores may tie exactly, so that logits may move by about 0.01
  std::vector<int32_t> prompt;
  std::vector<int32_t> greedy;
  std::vector<int32_t> mtp_argmax;
  std::vector<std::vector<int32_t>> dspark_draft;
  std::vector<std::vector<float>> dspark_confidence_logit;

  std::vector<int32_t> tokens() const {
    std::vector<int32_t> all = prompt;
    all.insert(all.end(), greedy.begin(), greedy.end());
    return all;
  }
};

std::vector<Item> items() {
  std::ifstream file(FT_TEST_DATA "/nano/nano_goldens.json");
  const auto json = nlohmann::json::parse(file);
  std::vector<Item> list;
  for (const auto& entry : json.at("items"))
    list.push_back({entry.at("id"), entry.at("topk_active"), entry.at("prompt_ids"), entry.at("greedy_ids"),
                    entry.at("mtp_argmax"), entry.at("dspark_draft"), entry.at("dspark_confidence_logit")});
  return list;
}

constexpr int32_t kRows = 512;

// One forward call over `tokens`; logits are not asked for.
ForwardOutput run_all(Model& model, const std::vector<int32_t>& tokens) {
  const SequenceId sequence = *model.cache().open(static_cast<int64_t>(tokens.size()));
  std::vector<Row> rows;
  for (size_t i = 0; i < tokens.size(); ++i)
    rows.push_back({tokens[i], static_cast<int32_t>(i), sequence, static_cast<int32_t>(i) - 1});
  ForwardOutput output;
  {
    KvTransaction transaction = model.cache().begin();
    output = model.forward(transaction.stage(rows), {});
  }
  model.cache().close(sequence);
  return output;
}

CacheLimits nano_limits() {
  CacheLimits limits;
  limits.sequences = 1;
  limits.rows = kRows;
  limits.context = 1024;
  return limits;
}

void expect_dspark_items(const std::string& backend_name, size_t stride) {
  support::LoadedModel loaded(FT_MODELS "/v4-nano-dspark", backend_name, Numerics::kExact, kRows, 1);
  DsparkNetwork network(*loaded.backend, *loaded.checkpoint, nano_limits());
  MarkovHead markov(*loaded.backend, network.weights(), 1);
  const auto all = items();
  ASSERT_EQ(all.size(), 40u);
  for (size_t n = 0; n < all.size(); n += stride) {
    const Item& item = all[n];
    SCOPED_TRACE(item.id);
    const std::vector<int32_t> tokens = item.tokens();
    const ForwardOutput output = run_all(*loaded.model, tokens);
    const SequenceId context = *network.cache().open(1024);
    const auto append = [&](size_t count) {
      const auto first = static_cast<int32_t>(network.cache().length(context));
      std::vector<Row> rows;
      std::vector<int32_t> auxiliary_rows;
      for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) {
        rows.push_back({0, first + i, context, i - 1});
        auxiliary_rows.push_back(first + i);
      }
      network.append(output.auxiliary, auxiliary_rows, rows);
    };
    append(item.prompt.size());
    for (size_t i = 0; i < item.greedy.size(); ++i) {
      const GreedyBlock block = draft_greedy_block(network, markov, {context, item.greedy[i]});
      if (!item.ties) {
        EXPECT_EQ(block.tokens, item.dspark_draft[i]) << "anchor " << i;
      }
      EXPECT_LE(worst_difference(block.confidence, item.dspark_confidence_logit[i]), item.ties ? 0.1 : 1e-3)
          << "anchor " << i;
      append(1);
    }
    network.cache().close(context);
  }
}

void expect_mtp_items(const std::string& backend_name, size_t stride) {
  support::LoadedModel loaded(FT_MODELS "/v4-nano", backend_name, Numerics::kExact, kRows, 1);
  MtpBlock block(*loaded.backend, *loaded.checkpoint, 0, nano_limits());
  const auto vocab = static_cast<size_t>(loaded.model->config().vocab_size);
  const auto all = items();
  ASSERT_EQ(all.size(), 40u);
  for (size_t n = 0; n < all.size(); n += stride) {
    const Item& item = all[n];
    const std::vector<int32_t> tokens = item.tokens();
    const ForwardOutput output = run_all(*loaded.model, tokens);
    const SequenceId ahead = *block.cache().open(1024);
    std::vector<Row> rows;
    for (int32_t i = 0; i + 1 < static_cast<int32_t>(tokens.size()); ++i)
      rows.push_back({tokens[static_cast<size_t>(i) + 1], i, ahead, i - 1});
    {
      KvTransaction transaction = block.cache().begin();
      const auto logits = block.logits(block.forward(transaction.stage(rows), output.streams));
      for (size_t i = 0; i < item.mtp_argmax.size(); ++i) {
        const size_t row = item.prompt.size() - 1 + i;
        if (item.ties) continue;
        EXPECT_EQ(argmax(logits.subspan(row * vocab, vocab)), item.mtp_argmax[i]) << item.id << " " << i;
      }
    }
    block.cache().close(ahead);
  }
}

TEST(NanoDraft, DsparkEqualsTheReferenceOnTheCpu) {
  expect_dspark_items("cpu1", 4);
}
TEST(NanoDraft, MtpEqualsTheReferenceOnTheCpu) {
  expect_mtp_items("cpu1", 4);
}
TEST(FullNanoDraft, DsparkEqualsTheReferenceOnEveryItem) {
  expect_dspark_items("cpu1", 1);
}
TEST(FullNanoDraft, MtpEqualsTheReferenceOnEveryItem) {
  expect_mtp_items("cpu1", 1);
}
TEST(FullNanoDraft, DsparkOnTheReferenceBackend) {
  expect_dspark_items("reference", 13);
}
TEST(FullNanoDraft, MtpOnTheReferenceBackend) {
  expect_mtp_items("reference", 13);
}

}  // namespace
}  // namespace ft::draft
