// Requests with one prompt: who reads it, who waits, and that nothing of it stays.
#include "scheduler/memory/sequence_memory.h"

#include <gtest/gtest.h>

#include <numeric>

#include "draft/none.h"
#include "scheduler/model_sequences.h"
#include "tests/scheduler/engine_harness.h"

namespace ft::scheduler {
namespace {

class SequenceMemoryTest : public ::testing::Test {
 protected:
  static constexpr int64_t kRows = 64;

  static CacheLimits limits() {
    CacheLimits limits;
    limits.sequences = 4;
    limits.rows = kRows;
    limits.context = 512;
    limits.total_tokens = 2048;
    return limits;
  }

  // One of `members` requests with the same prompt of `length` tokens.
  static std::unique_ptr<RequestState> member(int64_t length, int32_t members) {
    auto state = std::make_unique<RequestState>();
    state->request.prompt.assign(static_cast<size_t>(length), 7);
    state->request.max_tokens = 50;
    state->request.fork_group = 5;
    state->request.fork_count = members;
    state->tokens = state->request.prompt;
    return state;
  }

  // Reads on, as far as one step may.
  static void read(KvCache& cache, SequenceMemory& memory, RequestState& state) {
    const int64_t length = cache.length(state.sequence);
    commit(cache, memory, state,
           std::min({memory.tokens_to_stop(state), kRows, std::ssize(state.tokens) - length}));
  }
  void read(RequestState& state) { read(cache_, memory_, state); }
  // One step of `count` rows.
  static void commit(KvCache& cache, SequenceMemory& memory, RequestState& state, int64_t count) {
    const int64_t length = cache.length(state.sequence);
    std::vector<Row> rows;
    for (int32_t i = 0; i < count; ++i)
      rows.push_back({7, static_cast<int32_t>(length) + i, state.sequence, i - 1});
    std::vector<int32_t> path(rows.size());
    std::iota(path.begin(), path.end(), 0);
    KvTransaction transaction = cache.begin();
    transaction.stage(rows);
    std::move(transaction).commit(path);
    memory.remember(state, length);
    memory.check_integrity();
    cache.check_integrity();
  }
  static bool open(SequenceMemory& memory, RequestState& state) {
    return memory.open(state, std::ssize(state.tokens), 0);
  }
  bool open(RequestState& state) { return open(memory_, state); }

  std::unique_ptr<Backend> backend_ = make_reference_backend(Numerics::kExact);
  ModelConfig config_ = nano_config();
  KvCache cache_{*backend_, config_, {0, 4, 128}, limits()};
  draft::None drafter_;
  Intact intact_;
  ModelSequences store_{cache_, drafter_, intact_};
  SequenceMemory memory_{store_, 0};
};

TEST_F(SequenceMemoryTest, TheFirstOfAGroupReadsForAll) {
  const int64_t free = cache_.available_tokens();
  const auto a = member(100, 3), b = member(100, 3), c = member(100, 3);
  EXPECT_FALSE(memory_.waits_for_fork(*a));
  ASSERT_TRUE(open(*a));
  EXPECT_FALSE(memory_.waits_for_fork(*a));
  read(*a);
  EXPECT_TRUE(memory_.waits_for_fork(*b));
  read(*a);
  EXPECT_EQ(cache_.length(a->sequence), 99);  // the last row gives each of them its own first token
  EXPECT_FALSE(memory_.waits_for_fork(*b));
  ASSERT_TRUE(open(*b));
  EXPECT_EQ(cache_.length(b->sequence), 99);
  EXPECT_EQ(b->report.cached_tokens, 99);
  read(*a);
  memory_.close(*a);
  ASSERT_TRUE(open(*c));
  EXPECT_EQ(cache_.length(c->sequence), 99);
  memory_.close(*b);
  memory_.close(*c);
  EXPECT_EQ(cache_.available_tokens(), free);
  EXPECT_EQ(memory_.forks(), 0);
}

TEST_F(SequenceMemoryTest, AnotherReadsOnWhereTheFirstOneGoes) {
  const int64_t free = cache_.available_tokens();
  const auto a = member(100, 3), b = member(100, 3), c = member(100, 3);
  ASSERT_TRUE(open(*a));
  read(*a);
  memory_.close(*a);
  EXPECT_FALSE(memory_.waits_for_fork(*b));
  ASSERT_TRUE(open(*b));
  EXPECT_TRUE(memory_.waits_for_fork(*c));
  read(*b);
  read(*b);
  memory_.forget(*c);
  memory_.close(*b);
  EXPECT_EQ(cache_.available_tokens(), free);
  EXPECT_EQ(memory_.forks(), 0);
}

TEST_F(SequenceMemoryTest, AGroupThatHasEndedIsNotMadeAgain) {
  const int64_t free = cache_.available_tokens();
  const auto a = member(100, 2), b = member(100, 2);
  ASSERT_TRUE(open(*a));
  read(*a);
  memory_.suspend(*a, false);
  ASSERT_TRUE(open(*b));
  EXPECT_EQ(memory_.forks(), 0);  // both have begun, so nobody is read for
  ASSERT_TRUE(open(*a));
  while (cache_.length(a->sequence) < 100) read(*a);
  memory_.close(*a);
  memory_.close(*b);
  EXPECT_EQ(memory_.forks(), 0);
  EXPECT_EQ(cache_.available_tokens(), free);
}

TEST_F(SequenceMemoryTest, ARunningRequestGrowsIntoWhatWaitsForOthers) {
  // One sequence of four pages and one page more for copies, of which a fork holds two.
  CacheLimits small = limits();
  small.sequences = 1;
  small.total_tokens = small.context;
  KvCache cache(*backend_, config_, {0, 4, 128}, small);
  ModelSequences store(cache, drafter_, intact_);
  SequenceMemory memory(store, 0);
  const auto a = member(200, 2), b = member(200, 2);
  ASSERT_TRUE(memory.open(*a, 200, 0));
  while (cache.length(a->sequence) < 199) read(cache, memory, *a);
  memory.close(*a);
  EXPECT_EQ(memory.forks(), 1);
  const auto other = member(200, 1);
  other->request.fork_group = 0;
  other->request.max_tokens = 312;
  ASSERT_TRUE(memory.open(*other, 200, 0));
  while (cache.length(other->sequence) < 200) read(cache, memory, *other);
  EXPECT_TRUE(memory.grow(*other, 512));
  memory.close(*other);
  // The second of the group reads for itself now.
  EXPECT_FALSE(memory.waits_for_fork(*b));
  ASSERT_TRUE(memory.open(*b, 200, 0));
  EXPECT_EQ(cache.length(b->sequence), 0);
  memory.close(*b);
  EXPECT_EQ(memory.forks(), 0);
}

TEST_F(SequenceMemoryTest, ASuspendedRequestContinuesWhereItWas) {
  const auto a = member(100, 1);
  a->request.fork_group = 0;
  ASSERT_TRUE(open(*a));
  read(*a);
  memory_.suspend(*a, true);
  EXPECT_EQ(a->sequence, -1);
  EXPECT_EQ(cache_.open_sequences(), 0);
  ASSERT_NE(a->suspended, nullptr);
  ASSERT_TRUE(open(*a));
  EXPECT_EQ(cache_.length(a->sequence), 64);
  EXPECT_EQ(a->suspended, nullptr);
  memory_.suspend(*a, false);
  EXPECT_EQ(a->suspended, nullptr);
  ASSERT_TRUE(open(*a));
  EXPECT_EQ(cache_.length(a->sequence), 0);
  memory_.close(*a);
}

TEST_F(SequenceMemoryTest, TheEndOfAReplyIsRememberedWithItsPrompt) {
  for (const auto& [prompt, cached] : {std::pair<int64_t, int64_t>{100, 1}, {200, 2}}) {
    SequenceMemory memory(store_, int64_t{1} << 30);
    const auto a = member(prompt, 1);
    a->request.fork_group = 0;
    a->request.max_tokens = 300;
    ASSERT_TRUE(open(memory, *a));
    while (cache_.length(a->sequence) < prompt) read(cache_, memory, *a);
    EXPECT_EQ(memory.prefixes().snapshots(), prompt / kPageTokens);
    while (cache_.length(a->sequence) < 393) {
      ++a->report.completion_tokens;
      for (int32_t i = 0; i < 5; ++i) a->tokens.push_back(100 + i);
      ASSERT_TRUE(memory.grow(*a, std::ssize(a->tokens)));
      commit(cache_, memory, *a, 5);
    }
    // At 384, and in the prompt; what lay between went when the reply went on.
    EXPECT_EQ(memory.prefixes().snapshots(), cached);
    const auto b = member(prompt, 1);
    b->request.fork_group = 0;
    b->request.prompt = b->tokens = a->tokens;
    b->request.prompt.push_back(9);
    b->tokens.push_back(9);
    memory.close(*a);
    EXPECT_EQ(memory.cached_tokens(*b), 384);
    ASSERT_TRUE(open(memory, *b));
    EXPECT_EQ(cache_.length(b->sequence), 384);
    memory.close(*b);
  }
}

TEST_F(SequenceMemoryTest, RefusesWhatDoesNotFitNow) {
  const auto a = member(400, 1);
  EXPECT_FALSE(memory_.open(*a, 400, 4096));  // others would have nothing to grow into
  EXPECT_EQ(a->sequence, -1);
  // What others may need has nothing to do with how long one sequence may be.
  EXPECT_TRUE(memory_.open(*a, 400, 1024));
  memory_.close(*a);
}

}  // namespace
}  // namespace ft::scheduler
