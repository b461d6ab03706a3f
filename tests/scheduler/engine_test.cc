// The engine from outside: what it refuses, how requests end, and that nothing is lost.
#include "scheduler/engine.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/scheduler/nano_engine.h"
#include "tests/support/drafter_choice.h"

namespace ft::scheduler {
namespace {

using EngineTest = NanoEngine;

TEST_F(EngineTest, AnswersAndReports) {
  EngineOptions fixed = options();
  fixed.tree_nodes = 6;  // else the machine decides whether drafting pays
  auto running = engine(fixed);
  const auto stream = running->submit(request(64)).value();
  const std::vector<int32_t> tokens = read(*stream);
  EXPECT_EQ(tokens, answer());
  const RequestReport& report = stream->report();
  EXPECT_EQ(report.finish_reason, FinishReason::kStop);
  EXPECT_EQ(report.stop_token, 1);
  EXPECT_EQ(report.prompt_tokens, 14);
  EXPECT_EQ(report.completion_tokens, 10);
  EXPECT_EQ(report.drafter, "dspark");
  EXPECT_GT(report.accepted, 0);
  EXPECT_LT(report.steps, 9);
  const EngineStats stats = running->stats();
  EXPECT_EQ(stats.prompt_tokens, 14);
}

// A token of a prompt has the probability that it had when it was generated, however the prompt is read.
TEST_F(EngineTest, TellsTheProbabilitiesOfAPrompt) {
  EngineOptions fixed = options();
  fixed.context = 1024;
  fixed.prefill_chunk = 48;
  auto running = engine(fixed);
  GenerateRequest first = request(300);
  first.ignore_eos = true;
  first.sampling.logprobs = 2;
  const auto events_of = [](TokenStream& stream) {
    while (!stream.finished()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::vector<TokenEvent> events;
    for (TokenEvent event; stream.pop(event);) events.push_back(event);
    return events;
  };
  const auto said = events_of(*running->submit(first).value());
  ASSERT_EQ(said.size(), 300U);

  GenerateRequest again = request(1);
  const size_t begin = again.prompt.size();
  for (const TokenEvent& event : said) again.prompt.push_back(event.token);
  again.prompt_logprobs = 2;
  // The second time the prompt is cached, which must not be used.
  for (int time = 0; time < 2; ++time) {
    const auto told = events_of(*running->submit(again).value());
    ASSERT_EQ(told.size(), again.prompt.size());  // all but the first, and one that is generated
    for (size_t i = 0; i + 1 < told.size(); ++i) {
      ASSERT_TRUE(told[i].of_prompt);
      ASSERT_EQ(told[i].token, again.prompt[i + 1]);
      if (i + 1 < begin) continue;
      const TokenEvent& generated = said[i + 1 - begin];
      ASSERT_EQ(told[i].logprob, generated.logprob) << i;
      ASSERT_EQ(told[i].top.size(), 2U);
      ASSERT_EQ(told[i].top[1].token, generated.top[1].token);
      ASSERT_EQ(told[i].top[1].logprob, generated.top[1].logprob);
    }
    EXPECT_FALSE(told.back().of_prompt);
  }
}

// What a request is told of its tokens adds up, and asking for it changes none of them.
TEST_F(EngineTest, TellsHowEachTokenCame) {
  EngineOptions fixed = options();
  fixed.tree_nodes = 6;
  auto running = engine(fixed);
  const std::vector<int32_t> plain = read(*running->submit(request(64)).value());
  GenerateRequest asks = request(64);
  asks.step_details = true;
  const auto stream = running->submit(std::move(asks)).value();
  while (!stream->finished()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const RequestReport& report = stream->report();
  std::vector<int32_t> tokens;
  const StepDetail* last = nullptr;
  int32_t parent = -1;  // the node of the token before, in its step
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t deepest = 0;
  TokenEvent event;
  while (stream->pop(event)) {
    tokens.push_back(event.token);
    ASSERT_NE(event.detail, nullptr);
    EXPECT_EQ(event.detail->step, event.step);
    if (event.detail.get() != last) {
      last = event.detail.get();
      parent = -1;
      drafted += static_cast<int64_t>(last->nodes.size());
      EXPECT_GT(last->verify_ms, 0.0);
      for (const VerifiedNode& node : last->nodes) {
        EXPECT_EQ(node.depth, node.parent < 0 ? 1 : last->nodes[static_cast<size_t>(node.parent)].depth + 1);
        accepted += node.accepted ? 1 : 0;
      }
    }
    if (event.node < 0) continue;
    const VerifiedNode& node = last->nodes[static_cast<size_t>(event.node)];
    EXPECT_EQ(node.token, event.token);
    EXPECT_TRUE(node.accepted);
    EXPECT_EQ(node.parent, parent);
    EXPECT_EQ(node.source, draft::DraftSource::kModel);
    EXPECT_GT(node.path_probability, 0.0F);
    EXPECT_LE(node.path_probability, 1.0F);
    parent = event.node;
    ++deepest;
  }
  EXPECT_EQ(tokens, plain);
  EXPECT_EQ(drafted, report.drafted);
  EXPECT_EQ(accepted, report.accepted);
  EXPECT_EQ(deepest, report.accepted);
  EXPECT_GT(accepted, 0);
}

TEST_F(EngineTest, TheNextTurnDoesNotReadTheLastReplyAgain) {
  const std::vector<int32_t> question = request(1).prompt;
  for (int32_t nodes : {1, 12}) {
    EngineOptions fixed = options();
    fixed.context = 1024;
    fixed.tree_nodes = nodes;
    auto running = engine(fixed);
    GenerateRequest first = request(300);
    first.ignore_eos = true;
    first.sampling.temperature = 1.0;
    const std::vector<int32_t> reply = read(*running->submit(first).value());
    GenerateRequest next = request(40);
    next.ignore_eos = true;
    next.prompt.insert(next.prompt.end(), reply.begin(), reply.end());
    next.prompt.insert(next.prompt.end(), question.begin(), question.end());
    const auto stream = running->submit(next).value();
    const std::vector<int32_t> answer = read(*stream);
    EXPECT_EQ(stream->report().cached_tokens, 256) << nodes;
    fixed.prefix_cache_bytes = 0;
    auto forgetful = engine(fixed);
    const auto again = forgetful->submit(next).value();
    EXPECT_EQ(read(*again), answer) << nodes;
    EXPECT_EQ(again->report().cached_tokens, 0);
    // It also drafts as if it had read everything itself.
    EXPECT_EQ(again->report().steps, stream->report().steps) << nodes;
    EXPECT_EQ(again->report().accepted, stream->report().accepted) << nodes;
  }
}

TEST_F(EngineTest, EndsAtMaxTokensAndAtStopTokensInsideAnAcceptedPath) {
  auto running = engine(options());
  for (int64_t limit = 1; limit <= 9; ++limit) {
    const auto stream = running->submit(request(limit)).value();
    EXPECT_EQ(read(*stream).size(), static_cast<size_t>(limit));
    EXPECT_EQ(stream->report().finish_reason, FinishReason::kLength);
  }
  GenerateRequest stopping = request(64);
  stopping.stop_tokens = {1861};
  const auto stream = running->submit(stopping).value();
  EXPECT_EQ(read(*stream), (std::vector<int32_t>{1850, 1862, 489, 1823, 1850, 1861}));
  EXPECT_EQ(stream->report().stop_token, 1861);
}

TEST_F(EngineTest, RefusesWhatCannotWork) {
  auto running = engine(options());
  const auto code = [&](auto change) {
    GenerateRequest changed = request(8);
    change(changed);
    const auto result = running->submit(std::move(changed));
    return result ? std::optional<ErrorCode>() : result.error().code;
  };
  EXPECT_EQ(code([](GenerateRequest& r) { r.prompt.clear(); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](GenerateRequest& r) { r.prompt[0] = -1; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](GenerateRequest& r) { r.prompt[0] = 2048; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](GenerateRequest& r) { r.max_tokens = 0; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](GenerateRequest& r) { r.max_tokens = INT64_MAX; }), ErrorCode::kTooLarge);
  EXPECT_EQ(code([](GenerateRequest& r) { r.prompt.resize(257, 4); }), ErrorCode::kTooLarge);
  EXPECT_EQ(code([](GenerateRequest& r) { r.sampling.top_p = 0.0; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](GenerateRequest& r) { r.speculation.max_nodes = 0; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](GenerateRequest&) {}), std::nullopt);
  EngineOptions bad = options();
  bad.drafter = support::drafter("mtp");
  const auto refused = Engine::create(*backend_, *checkpoint_, bad);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(EngineTest, AFullQueueRefusesAndTheQueuedAreServed) {
  auto running = engine(options());
  std::vector<std::shared_ptr<TokenStream>> streams;
  int refused = 0;
  for (int i = 0; i < 12; ++i) {
    GenerateRequest endless = request(200);
    endless.ignore_eos = true;
    auto stream = running->submit(std::move(endless));
    if (stream) {
      streams.push_back(std::move(*stream));
    } else {
      EXPECT_EQ(stream.error().code, ErrorCode::kOverloaded);
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  for (auto& stream : streams) EXPECT_EQ(read(*stream).size(), 200u);
}

TEST_F(EngineTest, CancelledRequestsFreeTheirPlaceWhetherQueuedOrRunning) {
  auto running = engine(options());
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 4; ++i) {
    GenerateRequest endless = request(240);
    endless.ignore_eos = true;
    auto stream = running->submit(std::move(endless));
    if (stream) streams.push_back(std::move(*stream));
  }
  ASSERT_GE(streams.size(), 2u);
  for (auto& stream : streams) stream->cancel();
  for (auto& stream : streams) {
    read(*stream);
    EXPECT_TRUE(stream->report().finish_reason == FinishReason::kCancelled ||
                stream->report().finish_reason == FinishReason::kLength);
  }
  EXPECT_EQ(read(*running->submit(request(4)).value()).size(), 4u);
  EXPECT_EQ(running->stats().requests_waiting, 0);
}

TEST_F(EngineTest, DestructionEndsEveryStream) {
  std::vector<std::shared_ptr<TokenStream>> streams;
  {
    auto running = engine(options());
    for (int i = 0; i < 3; ++i) {
      GenerateRequest endless = request(240);
      endless.ignore_eos = true;
      auto stream = running->submit(std::move(endless));
      if (stream) streams.push_back(std::move(*stream));
    }
  }
  for (auto& stream : streams) EXPECT_TRUE(stream->finished());
}

}  // namespace
}  // namespace ft::scheduler
