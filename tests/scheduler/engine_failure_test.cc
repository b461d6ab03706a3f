// What goes wrong inside the engine costs the requests concerned, and never a hanging client or the process.
#include <gtest/gtest.h>

#include <new>
#include <semaphore>
#include <stdexcept>
#include <thread>

#include "core/allocations.h"
#include "draft/drafter_wrapper.h"
#include "scheduler/engine.h"
#include "tests/scheduler/engine_harness.h"
#include "tests/scheduler/nano_engine.h"
#include "tests/support/drafter_choice.h"

namespace ft::scheduler {
namespace {

// Passes everything on, but for the calls that it is told to fail. They throw before anything has changed.
class FailingExecutor final : public Executor {
 public:
  // Step number `step`, from 0, throws.
  FailingExecutor(std::unique_ptr<Executor> inner, int step) : inner_(std::move(inner)), step_(step) {}
  const ExecutorInfo& info() const override { return inner_->info(); }
  SequenceStore& sequences() override { return inner_->sequences(); }
  double propose(const DraftBatch& batch) override { return inner_->propose(batch); }
  const StepOutcome& step(const StepBatch& batch) override {
    if (step_-- == 0) throw std::runtime_error("the device is gone");
    return inner_->step(batch);
  }
  void measure(CostModel& costs) override { inner_->measure(costs); }
  bool intact() const override { return inner_->intact(); }

 private:
  std::unique_ptr<Executor> inner_;
  int step_;
};

// A drafter whose observe() throws at its n-th call, when the target has already committed.
class FailingDrafter final : public draft::DrafterWrapper {
 public:
  FailingDrafter(std::unique_ptr<draft::Drafter> inner, int call)
      : DrafterWrapper(std::move(inner)), call_(call) {}
  void observe(const ForwardOutput& output, std::span<const draft::ObservedRows> observed) override {
    if (call_-- == 0) throw std::bad_alloc();
    DrafterWrapper::observe(output, observed);
  }

 private:
  int call_;
};

// Allows everything until a mask throws, which is after so many of them.
class Failing final : public Constraint::State, public std::enable_shared_from_this<Failing> {
 public:
  explicit Failing(int calls) : calls_(calls) {}
  void fill_mask(std::span<uint32_t> mask) const override {
    // From then on: a drafter that cannot ask it only goes without a draft.
    if (calls_-- <= 0) throw std::bad_alloc();
    std::ranges::fill(mask, ~uint32_t{0});  // the nano vocabulary is a whole number of words
  }
  std::shared_ptr<const State> after(int32_t) const override { return shared_from_this(); }

 private:
  mutable int calls_;
};

class EngineFailure : public NanoEngine {
 protected:
  static EngineOptions options() {
    EngineOptions options = NanoEngine::options();
    options.tree_nodes = 6;
    options.queue_max = 16;
    return options;
  }
  static std::unique_ptr<Engine> engine(const EngineParts& parts, const EngineOptions& wish = options()) {
    return NanoEngine::engine(wish, parts);
  }
  static GenerateRequest request() { return NanoEngine::request(64); }

  // The engine's own figures follow the end of a stream by a moment.
  template <class Reached>
  static bool eventually(Reached reached) {
    for (int i = 0; i < 5000; ++i) {
      if (reached()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
};

TEST_F(EngineFailure, AConstraintThatThrowsCostsItsRequestAlone) {
  ASSERT_EQ(checkpoint_->config().vocab_size % 32, 0);
  const auto running = engine({});
  GenerateRequest constrained = request();
  constrained.constraint = std::make_shared<Constraint>(std::make_shared<const Failing>(3));
  const auto failing = running->submit(std::move(constrained)).value();
  const auto other = running->submit(request()).value();
  const std::vector<int32_t> before = read(*failing);
  EXPECT_LT(before.size(), answer().size());
  EXPECT_EQ(failing->report().finish_reason, FinishReason::kError);
  EXPECT_NE(failing->report().error.find("sampling failed"), std::string::npos) << failing->report().error;
  EXPECT_EQ(read(*other), answer());
  EXPECT_EQ(read(*running->submit(request()).value()), answer());
  EXPECT_TRUE(eventually([&] { return running->stats().requests_finished == 2; }));
  EXPECT_EQ(running->stats().requests_failed, 1);
  EXPECT_EQ(running->stats().engine_failed, 0);
}

TEST_F(EngineFailure, AStepThatThrowsCostsWhoeverTookPartInIt) {
  EngineOptions one_at_a_time = options();
  one_at_a_time.max_sequences = 1;
  std::string warning;
  one_at_a_time.on_warning = [&](const std::string& line) { warning = line; };
  EngineParts parts;
  parts.wrap_executor = [](std::unique_ptr<Executor> inner) {
    return std::make_unique<FailingExecutor>(std::move(inner), 2);
  };
  const auto running = engine(parts, one_at_a_time);
  const auto first = running->submit(request()).value();
  const auto waiting = running->submit(request()).value();
  read(*first);
  EXPECT_EQ(first->report().finish_reason, FinishReason::kError);
  EXPECT_EQ(first->report().error, "a step failed: the device is gone");
  EXPECT_EQ(read(*waiting), answer());
  EXPECT_EQ(warning, first->report().error);
  EXPECT_EQ(running->stats().engine_failed, 0);
}

TEST_F(EngineFailure, AReaderThatCannotBeToldIsDropped) {
  const auto running = engine({});
  const auto deaf = running->submit(request(), [] { throw std::bad_alloc(); }).value();
  const auto other = running->submit(request()).value();
  EXPECT_EQ(read(*other), answer());
  EXPECT_LE(read(*deaf).size(), answer().size());
  EXPECT_EQ(deaf->report().finish_reason, FinishReason::kCancelled);
}

TEST_F(EngineFailure, AfterAHalfChangedCacheTheEngineRefusesEverything) {
  EngineOptions one_at_a_time = options();
  one_at_a_time.max_sequences = 1;
  EngineParts parts;
  parts.wrap_drafter = [](std::unique_ptr<draft::Drafter> inner) {
    return std::make_unique<FailingDrafter>(std::move(inner), 2);
  };
  const auto running = engine(parts, one_at_a_time);
  std::vector<std::shared_ptr<TokenStream>> streams = {running->submit(request()).value()};
  // Waits behind the first, unless this thread was held up until the engine had failed.
  const auto waiting = running->submit(request());
  if (waiting) streams.push_back(*waiting);
  for (const auto& stream : streams) {
    read(*stream);
    EXPECT_EQ(stream->report().finish_reason, FinishReason::kError);
    EXPECT_NE(stream->report().error.find("can no longer be trusted"), std::string::npos)
        << stream->report().error;
  }
  EXPECT_TRUE(eventually([&] { return running->stats().engine_failed == 1; }));
  const auto refused = running->submit(request());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(running->stats().requests_running, 0);
}

// Every allocation of a run, one after the other, is the one that fails: whatever it was for, every stream ends, what
// was said until then is right, and the loop either goes on as if nothing had been or refuses for good.
TEST_F(EngineFailure, NoAllocationThatFailsLeavesAStreamOpen) {
  int64_t thrown = 0;
  int64_t survived = 0;
  int64_t completed = 0;
  bool reached = true;
  for (int64_t number = 0; reached; number += 1 + number / 24) {
    EngineOptions wish = options();
    wish.cache_tokens = 256;
    wish.canary_rate = 0.3;
    const auto loop = make_loop(*backend_, *checkpoint_, wish);
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (int i = 0; i < 3; ++i) {
      auto state = std::make_unique<RequestState>();
      state->request = request();
      state->request.sampling.logprobs = 2;
      state->request.priority = i;
      state->submitted = Clock::now();
      state->stream = std::make_shared<TokenStream>(state->request.max_tokens, nullptr);
      streams.push_back(state->stream);
      loop->enqueue(std::move(state));
      if (i == 0) loop->step();
    }
    {
      const FailingAllocation failing(number);
      for (int step = 0; step < 200 && loop->step(); ++step) {
      }
      reached = failing.thrown();
    }
    thrown += reached ? 1 : 0;
    for (const auto& stream : streams) {
      ASSERT_TRUE(stream->finished()) << "allocation " << number;
      std::vector<int32_t> tokens;
      for (TokenEvent event; stream->pop(event);) tokens.push_back(event.token);
      ASSERT_LE(tokens.size(), answer().size()) << number;
      EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), answer().begin())) << number;
      if (stream->report().finish_reason == FinishReason::kStop) {
        EXPECT_EQ(tokens, answer()) << number;
        ++completed;
      } else {
        EXPECT_EQ(stream->report().finish_reason, FinishReason::kError) << number;
      }
    }
    if (!loop->failure().empty()) continue;
    ++survived;
    loop->scheduler().check_integrity();
    const auto again = enqueue(*loop, request());
    while (loop->step()) {
    }
    std::vector<int32_t> tokens;
    for (TokenEvent event; again->pop(event);) tokens.push_back(event.token);
    EXPECT_EQ(tokens, answer()) << number;
  }
  EXPECT_GT(thrown, 20);
  EXPECT_GT(survived, 0);
  EXPECT_GT(completed, 0);
}

}  // namespace
}  // namespace ft::scheduler
