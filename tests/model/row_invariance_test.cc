// Idea 4 of ARCHITECTURE.md, on whole models: a row's logits are the same bits whether its sequence came in
// one chunk, in many, token by token, as a branch of a tree, beside another sequence, or after a rewind; in
// both modes, on every backend.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <tuple>

#include "eval/prefill.h"
#include "tests/support/loaded_model.h"

namespace ft {
namespace {

using support::LoadedModel;
using Logits = std::vector<float>;

std::vector<int32_t> random_tokens(size_t count, int64_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % static_cast<uint32_t>(vocab));
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class RowInvariance : public ::testing::TestWithParam<std::tuple<const char*, std::string, Numerics>> {
 protected:
  RowInvariance()
      : loaded_(std::string(FT_TEST_DATA "/goldens/") + std::get<0>(GetParam()), std::get<1>(GetParam()),
                std::get<2>(GetParam()), 96),
        model_(*loaded_.model),
        vocab_(static_cast<size_t>(model_.config().vocab_size)),
        tokens_(random_tokens(kLength, model_.config().vocab_size, 7)) {}

  std::span<const float> row(const Logits& logits, size_t index) const {
    return std::span<const float>(logits).subspan(index * vocab_, vocab_);
  }

  static constexpr size_t kLength = 150;  // crosses ratio 4, 16 and 128 and wraps a window of 16
  LoadedModel loaded_;
  Model& model_;
  size_t vocab_;
  std::vector<int32_t> tokens_;
};

TEST_P(RowInvariance, AnyChunking) {
  const Logits whole = *eval::sequence_logits(model_, tokens_, 96);
  for (int64_t chunk : {1, 3, 17, 64}) {
    const Logits parts = *eval::sequence_logits(model_, tokens_, chunk);
    EXPECT_TRUE(same_bits(whole, parts)) << "chunk " << chunk;
  }
}

// Two sequences interleaved in one batch, with uneven chunks, against each alone.
TEST_P(RowInvariance, BesideAnotherSequence) {
  const std::vector<int32_t> other = random_tokens(100, model_.config().vocab_size, 8);
  const Logits alone[2] = {*eval::sequence_logits(model_, tokens_, 50),
                           *eval::sequence_logits(model_, other, 50)};
  const std::vector<int32_t>* source[2] = {&tokens_, &other};
  KvCache& cache = model_.cache();
  const SequenceId id[2] = {*cache.open(kLength), *cache.open(kLength)};
  Logits got[2];
  std::mt19937 random(3);
  while (got[0].size() < alone[0].size() || got[1].size() < alone[1].size()) {
    std::vector<Row> rows;
    std::vector<int32_t> indices;
    std::vector<int> owner;
    int32_t last[2] = {kCommitted, kCommitted};
    size_t next[2] = {got[0].size() / vocab_, got[1].size() / vocab_};
    for (int step = 0; step < 40; ++step) {
      const int s = static_cast<int>(random() % 2);
      if (next[s] == source[s]->size()) continue;
      indices.push_back(static_cast<int32_t>(rows.size()));
      rows.push_back({(*source[s])[next[s]], static_cast<int32_t>(next[s]), id[s], last[s]});
      last[s] = indices.back();
      owner.push_back(s);
      ++next[s];
    }
    if (rows.empty()) continue;
    KvTransaction transaction = cache.begin();
    const ForwardOutput output = model_.forward(transaction.stage(rows), indices);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto logits = output.logits.subspan(i * vocab_, vocab_);
      got[owner[i]].insert(got[owner[i]].end(), logits.begin(), logits.end());
    }
    std::move(transaction).commit(indices);
    cache.check_integrity();
  }
  for (int s : {0, 1}) {
    EXPECT_TRUE(same_bits(alone[s], got[s])) << "sequence " << s;
    cache.close(id[s]);
  }
}

// From every residue of a block boundary: a tree whose branches cross it; each path equals the chain, any of
// them can be committed or dropped, and the sequence continues as if the others had never been there.
TEST_P(RowInvariance, TreePathsAndRollback) {
  const Logits whole = *eval::sequence_logits(model_, tokens_, 96);
  const std::vector<int32_t> wrong = random_tokens(kLength, model_.config().vocab_size, 9);
  KvCache& cache = model_.cache();
  const SequenceId id = *cache.open(kLength);
  std::mt19937 random(5);
  size_t length = 0;
  const auto expect_row = [&](std::span<const float> logits, size_t position) {
    EXPECT_TRUE(same_bits(logits, row(whole, position))) << "position " << position;
  };
  while (length + 24 < kLength) {
    // The true continuation as one path, with wrong branches hanging off its nodes at random.
    std::vector<Row> rows;
    std::vector<int32_t> truth;
    const size_t depth = 1 + random() % 20;
    for (size_t i = 0; i < depth; ++i) {
      const int32_t parent = truth.empty() ? kCommitted : truth.back();
      const auto position = static_cast<int32_t>(length + i);
      int32_t branch = parent;
      for (size_t k = random() % 4; k > 0; --k) {
        const int32_t at = branch == kCommitted ? static_cast<int32_t>(length)
                                                : rows[static_cast<size_t>(branch)].position + 1;
        rows.push_back({wrong[static_cast<size_t>(at)], at, id, branch});
        branch = static_cast<int32_t>(rows.size()) - 1;
      }
      truth.push_back(static_cast<int32_t>(rows.size()));
      rows.push_back({tokens_[length + i], position, id, parent});
    }
    KvTransaction transaction = cache.begin();
    const ForwardOutput output = model_.forward(transaction.stage(rows), truth);
    for (size_t i = 0; i < depth; ++i) expect_row(output.logits.subspan(i * vocab_, vocab_), length + i);
    // Accept a prefix of the true path, sometimes nothing.
    const size_t accepted = random() % (depth + 1);
    if (accepted == 0) continue;
    std::move(transaction).commit(std::span<const int32_t>(truth).first(accepted));
    length += accepted;
    ASSERT_EQ(cache.length(id), static_cast<int64_t>(length));
    cache.check_integrity();
  }
  cache.close(id);
}

TEST_P(RowInvariance, RewindAndSnapshot) {
  const Logits whole = *eval::sequence_logits(model_, tokens_, 96);
  const std::vector<int32_t> wrong = random_tokens(60, model_.config().vocab_size, 11);
  KvCache& cache = model_.cache();
  const SequenceId id = *cache.open(2 * kLength);
  for (size_t keep : {1u, 5u, 16u, 64u, 90u, 127u}) {
    ASSERT_TRUE(cache.rewind(id, 0));
    eval::prefill(model_, id, std::span<const int32_t>(tokens_).first(keep), 40, {});
    const std::shared_ptr<KvSnapshot> snapshot = cache.snapshot(id);
    eval::prefill(model_, id, wrong, 40, {});
    ASSERT_TRUE(cache.rewind(id, static_cast<int64_t>(keep)));
    const auto continue_and_compare = [&](SequenceId sequence) {
      eval::prefill(model_, sequence, std::span<const int32_t>(tokens_).subspan(keep), 7,
                    [&](const ForwardOutput& output, int64_t first, int64_t count) {
                      for (int64_t i = 0; i < count; ++i)
                        EXPECT_TRUE(same_bits(output.logits.subspan(static_cast<size_t>(i) * vocab_, vocab_),
                                              row(whole, keep + static_cast<size_t>(first + i))))
                            << "kept " << keep << " row " << first + i;
                    });
    };
    continue_and_compare(id);
    cache.check_integrity();
    const SequenceId fork = *cache.open(2 * kLength, *snapshot);
    continue_and_compare(fork);
    cache.check_integrity();
    cache.close(fork);
  }
  EXPECT_FALSE(cache.rewind(id, cache.length(id) + 1));
  cache.close(id);
  cache.check_integrity();
}

// Out to host memory and into the cache of another model with other limits.
TEST_P(RowInvariance, ImageIntoAnotherCache) {
  const Logits whole = *eval::sequence_logits(model_, tokens_, 96);
  CacheLimits limits;
  limits.sequences = 3;
  limits.rows = 20;
  limits.context = 300;
  limits.total_tokens = 700;
  Model other(*loaded_.backend, *loaded_.checkpoint, limits);
  const std::vector<int32_t> noise = random_tokens(70, model_.config().vocab_size, 12);
  const SequenceId beside = *other.cache().open(300);
  eval::prefill(other, beside, noise, 20, {});
  const SequenceId id = *model_.cache().open(kLength);
  for (size_t keep : {0u, 6u, 17u, 64u, 127u, 128u}) {
    eval::prefill(
        model_, id,
        std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(model_.cache().length(id)),
                                                  keep - static_cast<size_t>(model_.cache().length(id))),
        40, {});
    const std::unique_ptr<KvImage> image = model_.cache().save(id);
    const SequenceId moved = *other.cache().open(kLength, *image);
    other.cache().check_integrity();
    ASSERT_EQ(other.cache().length(moved), static_cast<int64_t>(keep));
    eval::prefill(other, moved, std::span<const int32_t>(tokens_).subspan(keep), 7,
                  [&](const ForwardOutput& output, int64_t first, int64_t count) {
                    for (int64_t i = 0; i < count; ++i)
                      EXPECT_TRUE(same_bits(output.logits.subspan(static_cast<size_t>(i) * vocab_, vocab_),
                                            row(whole, keep + static_cast<size_t>(first + i))))
                          << "kept " << keep << " row " << first + i;
                  });
    other.cache().close(moved);
    other.cache().check_integrity();
  }
  // Saving changed nothing of the sequence itself.
  const auto kept = static_cast<size_t>(model_.cache().length(id));
  eval::prefill(model_, id, std::span<const int32_t>(tokens_).subspan(kept), 96,
                [&](const ForwardOutput& output, int64_t, int64_t) {
                  EXPECT_TRUE(same_bits(output.logits, std::span<const float>(whole).subspan(kept * vocab_)));
                });
  model_.cache().close(id);
}

INSTANTIATE_TEST_SUITE_P(Models, RowInvariance,
                         ::testing::Combine(::testing::Values("tiny-v4", "tiny-v4-r128"),
                                            ::testing::ValuesIn(support::model_backends()),
                                            ::testing::Values(Numerics::kExact, Numerics::kOfficial)),
                         [](const auto& case_info) {
                           std::string name =
                               std::string(std::get<0>(case_info.param)) + "_" +
                               std::get<1>(case_info.param) +
                               (std::get<2>(case_info.param) == Numerics::kExact ? "_exact" : "_official");
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace ft
