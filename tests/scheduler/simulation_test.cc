// Everything at once, at random: arrivals, shared prefixes, drafts of every kind, preemption, cancels.
// Whatever the schedule was, every request gets the answer that it would have got alone, and nothing is lost.
#include <gtest/gtest.h>

#include <fstream>
#include <list>
#include <nlohmann/json.hpp>
#include <random>

#include "eval/paper_selection.h"
#include "scheduler/engine.h"
#include "tests/scheduler/solo_answers.h"
#include "tests/support/drafter_choice.h"

namespace ft::scheduler {
namespace {

struct Scenario {
  const char* name;
  const char* model;
  draft::DrafterChoice drafter;
  int32_t tree_nodes;  // 0: adaptive
  const char* selection = "global";
  int32_t max_sequences = 6;
  int32_t batch_rows = 160;
  int32_t prefill_chunk = 128;
  int64_t cache_tokens = 1536;
  int64_t prefix_cache_bytes = int64_t{4} << 20;
  int steps = 700;
};

constexpr int64_t kContext = 704;

class Simulation {
 public:
  Simulation(const Scenario& scenario, uint64_t seed, SoloAnswers& solo)
      : scenario_(scenario),
        solo_(solo),
        random_(seed),
        backend_(make_cpu_backend(Numerics::kOfficial, 1)),
        checkpoint_(Checkpoint::load(std::string(FT_MODELS "/") + scenario.model, *backend_).value()),
        vocab_(checkpoint_->config().vocab_size) {
    EngineOptions options;
    options.max_sequences = scenario.max_sequences;
    options.context = kContext;
    options.cache_tokens = scenario.cache_tokens;
    options.batch_rows = scenario.batch_rows;
    options.prefill_chunk = scenario.prefill_chunk;
    options.drafter = scenario.drafter;
    options.tree_nodes = scenario.tree_nodes;
    options.tree_nodes_max = 13;
    options.make_selection = eval::parse_selection(scenario.selection).value();
    options.prefix_cache_bytes = scenario.prefix_cache_bytes;
    options.canary_rate = 0.05;
    options.on_warning = [](const std::string& line) { ADD_FAILURE() << line; };
    loop_ = make_loop(*backend_, *checkpoint_, options, {.set_costs = make_speculation_cheap});
    read_texts();
  }

  void run() {
    for (int step = 0; step < scenario_.steps || !active_.empty(); ++step) {
      if (step < scenario_.steps && active_.size() < 24 && chance(0.25)) arrive();
      if (chance(0.01) && !active_.empty()) cancel_one();
      if (chance(0.03)) forced_ += loop_->scheduler().preempt_one(chance(0.5)) ? 1 : 0;
      const bool worked = loop_->step();
      loop_->scheduler().check_integrity();
      collect();
      EXPECT_TRUE(worked || active_.empty()) << "requests are left over";
      if (::testing::Test::HasFailure()) return;
    }
    expect_all_done();
  }

  // A request that takes all of the cache proves that all of it is free.
  void fill_the_cache() {
    Ask ask;
    ask.request.prompt.assign(texts_[0].begin(), texts_[0].begin() + 600);
    ask.request.max_tokens = kContext - 600;
    ask.request.ignore_eos = true;
    const auto stream = enqueue(*loop_, ask.make(vocab_));
    while (loop_->step()) loop_->scheduler().check_integrity();
    Answer answer;
    ASSERT_TRUE(answer.read(*stream));
    EXPECT_EQ(answer.tokens, solo_.to(ask).tokens);
    EXPECT_EQ(answer.tokens.size(), static_cast<size_t>(kContext - 600));
  }

  const EngineStats& stats() const { return loop_->stats(); }
  // Preemptions that the engine itself decided on.
  int64_t natural_preemptions() const { return loop_->stats().preemptions - forced_; }

 private:
  struct Active {
    Ask ask;
    std::shared_ptr<TokenStream> stream;
    Answer answer;
    bool cancelled = false;
  };

  bool chance(double p) { return std::uniform_real_distribution(0.0, 1.0)(random_) < p; }
  int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution(low, high)(random_); }
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return list.begin()[between(0, static_cast<int64_t>(list.size()) - 1)];
  }

  // Long texts out of the questions that the model knows.
  void read_texts() {
    std::ifstream file(FT_TEST_DATA "/nano/nano_goldens.json");
    const nlohmann::json items = nlohmann::json::parse(file)["items"];
    std::vector<int32_t> all;
    for (const auto& item : items)
      for (int32_t token : item["prompt_ids"]) all.push_back(token);
    for (size_t t = 0; t < 5; ++t) {
      std::vector<int32_t>& text = texts_.emplace_back();
      for (size_t i = 0; i < 640; ++i) text.push_back(all[(t * 997 + i) % all.size()]);
    }
  }

  std::vector<int32_t> prompt() {
    const std::vector<int32_t>& text = texts_[static_cast<size_t>(between(0, 4))];
    const int64_t length = chance(0.3) ? between(1, 60) : between(1, 600);
    std::vector<int32_t> tokens(text.begin(), text.begin() + length);
    // Another ending behind a beginning that others share.
    if (chance(0.5))
      for (int64_t i = between(0, length - 1); i < length; ++i)
        tokens[static_cast<size_t>(i)] = static_cast<int32_t>(between(2, vocab_ - 1));
    return tokens;
  }

  Ask random_ask() {
    Ask ask;
    GenerateRequest& request = ask.request;
    request.prompt = prompt();
    request.max_tokens = chance(0.1) ? between(1, 2) : between(3, 40);
    // Longer than what is set aside at admission, some as long as can be.
    if (chance(0.06)) request.max_tokens = 200;
    const int64_t room = kContext - static_cast<int64_t>(request.prompt.size());
    if (chance(0.02) || request.max_tokens > room) request.max_tokens = room;
    verify::SamplingParams& sampling = request.sampling;
    sampling.temperature = one_of({0.0, 0.0, 0.4, 0.7, 1.0});
    sampling.seed = static_cast<uint64_t>(between(0, 1000));
    if (chance(0.2)) sampling.top_p = 0.9;
    if (chance(0.1)) sampling.top_k = between(1, 50);
    if (chance(0.1)) sampling.min_p = 0.05;
    if (chance(0.15)) sampling.repetition_penalty = 1.2;
    if (chance(0.15)) sampling.presence_penalty = 0.5;
    if (chance(0.15)) sampling.frequency_penalty = 0.3;
    if (chance(0.1)) sampling.logit_bias = {{5, -1.0f}, {1850, 2.0f}};
    if (chance(0.25)) sampling.logprobs = static_cast<int32_t>(between(0, 3));
    if (chance(0.2)) request.stop_tokens = {static_cast<int32_t>(between(2, vocab_ - 1)), 1861};
    request.ignore_eos = chance(0.6);
    if (chance(0.15)) ask.turns = static_cast<int32_t>(between(2, 4));
    SpeculationParams& speculation = request.speculation;
    speculation.enabled = !chance(0.1);
    if (chance(0.3)) speculation.max_nodes = static_cast<int32_t>(between(1, 12));
    if (chance(0.3)) speculation.shape = one_of({draft::TreeShape::kChain, draft::TreeShape::kBestFirst});
    if (chance(0.5)) {
      const bool mtp = loop_->info().model_drafter == "mtp";
      speculation.drafter =
          one_of({support::drafter("auto"), support::drafter("none"), support::drafter("ngram"),
                  mtp ? support::drafter("mtp") : support::drafter("dspark"),
                  mtp ? support::drafter("mtp+ngram") : support::drafter("dspark+ngram")});
    }
    request.priority = static_cast<int32_t>(chance(0.2) ? between(-1, 1) : 0);
    return ask;
  }

  void arrive() {
    const Ask ask = random_ask();
    int32_t members = 1;
    if (chance(0.15)) members = static_cast<int32_t>(between(2, 4));
    if (members > 1) ++groups_;
    for (int32_t i = 0; i < members; ++i) {
      Active active;
      active.ask = ask;
      active.ask.request.id = fmt::format("{}", submitted_);
      active.ask.request.sampling.seed += static_cast<uint64_t>(i);
      if (members > 1) {
        active.ask.request.fork_group = groups_;
        active.ask.request.fork_count = members;
      }
      active.stream = enqueue(*loop_, active.ask.make(vocab_));
      active_.push_back(std::move(active));
      ++submitted_;
    }
  }

  void cancel_one() {
    auto chosen = active_.begin();
    std::advance(chosen, between(0, static_cast<int64_t>(active_.size()) - 1));
    chosen->stream->cancel();
    chosen->cancelled = true;
  }

  void collect() {
    for (auto active = active_.begin(); active != active_.end();) {
      if (!active->answer.read(*active->stream)) {
        ++active;
        continue;
      }
      judge(*active);
      active = active_.erase(active);
    }
  }

  void judge(const Active& active) {
    const Answer& got = active.answer;
    const Answer& want = solo_.to(active.ask);
    const RequestReport& report = active.stream->report();
    ++ended_;
    const std::string which = "request " + active.ask.request.id + ": " + active.ask.content();
    if (got.finish == FinishReason::kCancelled) {
      EXPECT_TRUE(active.cancelled) << which;
      ASSERT_LE(got.tokens.size(), want.tokens.size()) << which;
      EXPECT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), want.tokens.begin())) << which;
    } else {
      EXPECT_EQ(got.finish, want.finish) << which;
      EXPECT_EQ(got.stop_token, want.stop_token) << which;
      ASSERT_EQ(got.tokens.size(), want.tokens.size()) << which;
      for (size_t i = 0; i < got.tokens.size(); ++i)
        ASSERT_TRUE(got.tokens[i] == want.tokens[i])
            << "token " << i << ": " << got.tokens[i].token << " instead of " << want.tokens[i].token << ", "
            << which;
      compared_ += got.tokens.size();
      // Each step emits what it accepts and one more; the prompt gives the first token.
      EXPECT_EQ(report.completion_tokens, 1 + report.steps + report.accepted) << which;
    }
    EXPECT_EQ(report.completion_tokens, std::ssize(got.tokens)) << which;
    EXPECT_LE(report.accepted, report.drafted) << which;
    EXPECT_LE(report.cached_tokens, std::ssize(active.ask.request.prompt)) << which;
    if (!active.ask.request.speculation.enabled) {
      EXPECT_EQ(report.drafted, 0) << which;
    }
  }

  void expect_all_done() {
    const EngineStats& stats = loop_->stats();
    EXPECT_EQ(ended_, submitted_);
    EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, submitted_);
    EXPECT_EQ(stats.requests_failed, 0);
    EXPECT_EQ(stats.requests_running, 0);
    EXPECT_EQ(stats.requests_waiting, 0);
    EXPECT_EQ(stats.cache_usage, 0.0);
    EXPECT_EQ(stats.canary_mismatches, 0);
    EXPECT_GT(compared_, 0u);
  }

  Scenario scenario_;
  SoloAnswers& solo_;
  std::mt19937_64 random_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Checkpoint> checkpoint_;
  int64_t vocab_;
  std::unique_ptr<EngineLoop> loop_;
  std::vector<std::vector<int32_t>> texts_;
  std::list<Active> active_;
  uint64_t groups_ = 0;
  int64_t forced_ = 0;
  int64_t submitted_ = 0;
  int64_t ended_ = 0;
  size_t compared_ = 0;
};

// Both checkpoints hold the same target, so one set of answers does for all.
SoloAnswers& solo_answers() {
  static SoloAnswers answers(FT_MODELS "/v4-nano", kContext);
  return answers;
}

void simulate(const Scenario& scenario, uint64_t seed) {
  SCOPED_TRACE(fmt::format("{}, seed {}", scenario.name, seed));
  ::testing::Test::RecordProperty("seed", std::to_string(seed));
  Simulation simulation(scenario, seed, solo_answers());
  simulation.run();
  if (::testing::Test::HasFailure()) return;
  simulation.fill_the_cache();
  if (scenario.steps < 200) return;
  // The run was one in which all of it happened.
  const EngineStats& stats = simulation.stats();
  EXPECT_GT(stats.requests_finished, 30);
  EXPECT_GT(stats.requests_cancelled, 0);
  EXPECT_GT(stats.preemptions, 10);
  EXPECT_GT(simulation.natural_preemptions(), 0);
  EXPECT_GT(stats.accepted_tokens, 0);
  EXPECT_GT(stats.canary_checks, 10);
  if (scenario.prefix_cache_bytes > 0) {
    EXPECT_GT(stats.prefix_hits, 0);
  }
}

class FullSimulation : public ::testing::TestWithParam<Scenario> {};

TEST_P(FullSimulation, GivesEveryRequestTheAnswerItGetsAlone) {
  simulate(GetParam(), 20261);
}

INSTANTIATE_TEST_SUITE_P(Scenarios, FullSimulation,
                         ::testing::Values(Scenario{.name = "dspark_adaptive",
                                                    .model = "v4-nano-dspark",
                                                    .drafter = support::drafter("dspark"),
                                                    .tree_nodes = 0},
                                           Scenario{.name = "dspark_fixed",
                                                    .model = "v4-nano-dspark",
                                                    .drafter = support::drafter("dspark+ngram"),
                                                    .tree_nodes = 6,
                                                    .cache_tokens = 1024},
                                           Scenario{.name = "dspark_two_step_budget",
                                                    .model = "v4-nano-dspark",
                                                    .drafter = support::drafter("dspark"),
                                                    .tree_nodes = 0,
                                                    .selection = "two-step",
                                                    .max_sequences = 3,
                                                    .cache_tokens = kContext},
                                           Scenario{.name = "mtp_adaptive_small_steps",
                                                    .model = "v4-nano",
                                                    .drafter = support::drafter("mtp"),
                                                    .tree_nodes = 0,
                                                    .batch_rows = 24,
                                                    .prefill_chunk = 16},
                                           Scenario{.name = "mtp_stepwise_no_prefixes",
                                                    .model = "v4-nano",
                                                    .drafter = support::drafter("mtp"),
                                                    .tree_nodes = 0,
                                                    .selection = "stepwise",
                                                    .prefix_cache_bytes = 0},
                                           Scenario{.name = "mtp_fixed",
                                                    .model = "v4-nano",
                                                    .drafter = support::drafter("mtp+ngram"),
                                                    .tree_nodes = 4}),
                         [](const auto& cell) { return cell.param.name; });

TEST(Simulation, ShortRun) {
  simulate({.name = "short",
            .model = "v4-nano-dspark",
            .drafter = support::drafter("dspark"),
            .tree_nodes = 0,
            .cache_tokens = 1024,
            .steps = 25},
           7);
}

// Work is first come, first served, and the oldest request moves in every step: whatever arrives behind it,
// it ends within as many steps as it and those before it need one after the other.
TEST(FullStarvation, EveryRequestEndsWithinTheWorkThatWasThereBeforeIt) {
  auto backend = make_cpu_backend(Numerics::kOfficial, 1);
  const auto checkpoint = Checkpoint::load(FT_MODELS "/v4-nano-dspark", *backend).value();
  EngineOptions options;
  options.max_sequences = 4;
  options.context = 512;
  options.cache_tokens = 512;
  options.batch_rows = 160;
  const auto loop = make_loop(*backend, *checkpoint, options);
  std::mt19937_64 random(3);
  struct Waiting {
    std::shared_ptr<TokenStream> stream;
    int64_t work = 0;
    int64_t deadline = 0;
  };
  std::list<Waiting> waiting;
  int64_t ended = 0;
  for (int64_t step = 0; ended < 60; ++step) {
    // Two or three at a time while one ends: the queue grows for ever.
    if (step % 8 == 0)
      for (size_t i = 0; i < 2 + random() % 2; ++i) {
        GenerateRequest request;
        const auto length = static_cast<size_t>(random() % 4 == 0 ? 230 : 1 + random() % 40);
        for (size_t k = 0; k < length; ++k)
          request.prompt.push_back(static_cast<int32_t>(2 + random() % 2000));
        request.max_tokens = static_cast<int64_t>(1 + random() % 60);
        // Far more than what is set aside at admission: such requests run out of memory together.
        if (length <= 40 && random() % 2 == 0) request.max_tokens += 400;
        request.ignore_eos = true;
        Waiting one;
        one.work = static_cast<int64_t>(length + 127) / 128 + 1 + request.max_tokens;
        one.deadline = step + one.work;
        for (const Waiting& other : waiting) one.deadline += other.work;
        one.stream = enqueue(*loop, std::move(request));
        waiting.push_back(std::move(one));
      }
    loop->step();
    loop->scheduler().check_integrity();
    for (auto one = waiting.begin(); one != waiting.end();) {
      ASSERT_LE(step, one->deadline);
      if (!one->stream->finished()) {
        ++one;
        continue;
      }
      EXPECT_EQ(one->stream->report().finish_reason, FinishReason::kLength);
      ++ended;
      one = waiting.erase(one);
    }
  }
  EXPECT_GT(loop->stats().preemptions, 0);
  EXPECT_GT(waiting.size(), 20u);
  loop->cancel_all();
  for (const Waiting& one : waiting) EXPECT_TRUE(one.stream->finished());
  loop->scheduler().check_integrity();
}

TEST(Simulation, WhatCanNeverFitIsRefusedAndWhatJustFitsIsServed) {
  auto backend = make_cpu_backend(Numerics::kOfficial, 1);
  const auto checkpoint = Checkpoint::load(FT_MODELS "/v4-nano-dspark", *backend).value();
  EngineOptions options;
  options.cache_tokens = 256;
  const auto engine = Engine::create(*backend, *checkpoint, options).value();
  EXPECT_EQ(engine->options().context, 256);
  GenerateRequest request;
  request.prompt.assign(200, 17);
  request.ignore_eos = true;
  request.max_tokens = 57;
  const auto refused = engine->submit(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  request.max_tokens = 56;
  const auto stream = engine->submit(request).value();
  while (!stream->finished()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(stream->report().completion_tokens, 56);
  EXPECT_EQ(stream->report().finish_reason, FinishReason::kLength);
}

}  // namespace
}  // namespace ft::scheduler
