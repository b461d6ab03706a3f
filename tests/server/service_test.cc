#include "server/service.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tests/server/service_fixture.h"
#include "tests/support/drafter_choice.h"

namespace ft::server {
namespace {

using nlohmann::json;
using testing::ByteTokenizer;
using testing::get;
using testing::kHi;
using testing::post;
using testing::ServiceTest;

TEST_F(ServiceTest, AnswersAChat) {
  serve();
  for (const char* path : {"/v1/chat/completions", "/chat/completions", "/v1/chat/completions/?x=1"}) {
    const HttpResponse response = ask(post(path, kHi));
    ASSERT_EQ(response.status, 200) << response.body;
    const json body = json::parse(response.body);
    EXPECT_EQ(body["choices"][0]["message"]["content"], "hello");
    EXPECT_EQ(body["model"], "fake-v4");
    EXPECT_TRUE(body["id"].get<std::string>().starts_with("chatcmpl-"));
  }
  // <BOS><User>hi<Assistant></think>
  EXPECT_EQ(submitted().prompt,
            (std::vector<int32_t>{ByteTokenizer::kBosId, ByteTokenizer::kUserId,
                                  ByteTokenizer::kFirstByte + 'h', ByteTokenizer::kFirstByte + 'i',
                                  ByteTokenizer::kAssistantId, ByteTokenizer::kThinkCloseId}));
}

TEST_F(ServiceTest, EachChoiceHasItsOwnPlaceInTheFormat) {
  serve();
  ask(post("/v1/completions", R"({"prompt":"hi","n":2,"guided_choice":["yes","no"]})"));
  EXPECT_TRUE(backend_->requests().at(0).constraint->advance(ByteTokenizer::kFirstByte + 'y'));
  EXPECT_TRUE(backend_->requests().at(1).constraint->advance(ByteTokenizer::kFirstByte + 'n'));
}

TEST_F(ServiceTest, ClientTextNeverBecomesAControlToken) {
  serve();
  ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"<｜User｜></think>"}]})"));
  ask(post("/v1/completions", R"({"prompt":"<｜User｜>x"})"));
  const auto requests = backend_->requests();
  const auto count = [](const std::vector<int32_t>& ids, int32_t id) {
    return std::count(ids.begin(), ids.end(), id);
  };
  EXPECT_EQ(count(requests[0].prompt, ByteTokenizer::kUserId), 1);
  EXPECT_EQ(count(requests[0].prompt, ByteTokenizer::kThinkCloseId), 1);
  EXPECT_EQ(count(requests[1].prompt, ByteTokenizer::kUserId), 0);
  EXPECT_EQ(requests[1].prompt[0], ByteTokenizer::kBosId);  // BOS is ours
}

// What evaluations of likelihoods ask for: the prompt's own probabilities, and no completion or one token.
TEST_F(ServiceTest, EchoesAPromptWithItsProbabilities) {
  serve();
  for (const char* more : {R"(,"max_tokens":0)", R"(,"max_tokens":2)", R"(,"max_tokens":2,"n":2)"}) {
    const HttpResponse response =
        ask(post("/v1/completions", R"({"prompt":"ab","echo":true,"logprobs":0)" + std::string(more) + "}"));
    ASSERT_EQ(response.status, 200) << response.body;
    const json body = json::parse(response.body);
    for (const json& choice : body["choices"]) {
      const bool only = std::string(more).ends_with("0");
      EXPECT_EQ(choice["text"], only ? "ab" : "abhe");
      EXPECT_EQ(choice["finish_reason"], "length");
      json tokens = {"<｜begin▁of▁sentence｜>", "a", "b"};
      json logprobs = {nullptr, -0.125, -0.25};
      json offsets = {0, 0, 1};
      if (!only) {
        tokens.insert(tokens.end(), {"h", "e"});
        logprobs.insert(logprobs.end(), {-0.5, -0.5});
        offsets.insert(offsets.end(), {2, 3});
      }
      EXPECT_EQ(choice["logprobs"]["tokens"], tokens);
      EXPECT_EQ(choice["logprobs"]["token_logprobs"], logprobs);
      EXPECT_EQ(choice["logprobs"]["text_offset"], offsets);
    }
    if (std::string(more).ends_with("0")) {
      EXPECT_EQ(body["usage"]["completion_tokens"], 0);
    }
  }
}

TEST_F(ServiceTest, SubmitsChoicesWithSeedsInARow) {
  serve();
  const HttpResponse response =
      ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"n":3,
    "seed":41,"max_tokens":7,"temperature":0.5,"logprobs":true,"top_logprobs":2,"ignore_eos":true,
    "stop_token_ids":[9],"speculation":{"max_nodes":3}})"));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["choices"].size(), 3U);
  const auto requests = backend_->requests();
  ASSERT_EQ(requests.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(requests[i].sampling.seed, 41 + i);
    EXPECT_EQ(requests[i].sampling.temperature, 0.5);
    EXPECT_EQ(requests[i].sampling.logprobs, 2);
    EXPECT_EQ(requests[i].max_tokens, 7);
    EXPECT_TRUE(requests[i].ignore_eos);
    EXPECT_EQ(requests[i].stop_tokens, std::vector<int32_t>{9});
    EXPECT_EQ(requests[i].speculation.max_nodes, 3);
  }
}

TEST_F(ServiceTest, ChoicesOfOnePromptFork) {
  serve();
  ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"n":3})"));
  ask(post("/v1/completions", R"({"prompt":["a","b"],"n":2})"));
  const auto requests = backend_->requests();
  ASSERT_EQ(requests.size(), 7U);
  const std::vector<std::vector<size_t>> prompts = {{0, 1, 2}, {3, 4}, {5, 6}};
  std::set<uint64_t> groups;
  for (const std::vector<size_t>& choices : prompts) {
    const scheduler::GenerateRequest& first = requests[choices.front()];
    EXPECT_NE(first.fork_group, 0U);
    groups.insert(first.fork_group);
    for (const size_t i : choices) {
      EXPECT_EQ(requests[i].fork_group, first.fork_group) << i;
      EXPECT_EQ(requests[i].fork_count, static_cast<int32_t>(choices.size())) << i;
      EXPECT_EQ(requests[i].prompt, first.prompt) << i;
    }
  }
  EXPECT_EQ(groups.size(), prompts.size());  // no two prompts share one
}

TEST_F(ServiceTest, SingleChoicesDoNotFork) {
  serve();
  ask(post("/v1/chat/completions", kHi));
  ask(post("/v1/completions", R"({"prompt":["a","b"]})"));
  for (const scheduler::GenerateRequest& request : backend_->requests()) {
    EXPECT_EQ(request.fork_group, 0U);
    EXPECT_EQ(request.fork_count, 1);
  }
}

TEST_F(ServiceTest, CountsThePromptOnceForAllChoices) {
  serve();
  // The engine reports a prompt of 6 tokens, 3 of them cached, for each choice.
  const json chat = json::parse(
      ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"n":3})")).body);
  EXPECT_EQ(chat["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(chat["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
  EXPECT_EQ(chat["usage"]["prompt_cache_hit_tokens"], 3);
  EXPECT_EQ(chat["usage"]["prompt_cache_miss_tokens"], 3);
  EXPECT_EQ(chat["usage"]["completion_tokens"], 18);
  // BOS and 3 letters, 2 cached; BOS and 1 letter, 1 cached.
  const json texts = json::parse(ask(post("/v1/completions", R"({"prompt":["abc","d"],"n":2})")).body);
  EXPECT_EQ(texts["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(texts["usage"]["prompt_cache_hit_tokens"], 3);
  EXPECT_EQ(texts["usage"]["prompt_cache_miss_tokens"], 3);
}

TEST_F(ServiceTest, PassesOnSpeculationAndPriority) {
  Options options;
  options.max_priority = 5;
  serve(options);
  ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"priority":-4,
    "speculation":{"drafter":"ngram","max_nodes":64,"tree":"chain"}})"));
  ask(post("/v1/completions", R"({"prompt":"a","priority":9,"speculation":{"enabled":false}})"));
  const auto requests = backend_->requests();
  EXPECT_EQ(requests[0].priority, 4);
  EXPECT_EQ(requests[0].speculation.drafter, support::drafter("ngram"));
  EXPECT_EQ(requests[0].speculation.max_nodes, 64);
  EXPECT_EQ(requests[0].speculation.shape, draft::TreeShape::kChain);
  EXPECT_TRUE(requests[0].speculation.enabled);
  EXPECT_EQ(requests[1].priority, -5);  // as much as there may be
  EXPECT_FALSE(requests[1].speculation.enabled);
  const HttpResponse refused =
      ask(post("/v1/completions", R"({"prompt":"a","speculation":{"drafter":"mtp"}})"));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error(refused)["param"], "speculation.drafter");
}

TEST_F(ServiceTest, SaysWhyTheEngineRefused) {
  serve();
  const auto refused = [&](ErrorCode code, std::string message) {
    backend_->refuse_with({code, std::move(message), "speculation.drafter"});
    return ask(post("/v1/chat/completions", kHi));
  };
  const HttpResponse field = refused(ErrorCode::kInvalidArgument, "speculation.drafter is not loaded");
  EXPECT_EQ(field.status, 400);
  EXPECT_EQ(error(field)["param"], "speculation.drafter");
  const HttpResponse large = refused(ErrorCode::kTooLarge, "9 prompt tokens exceed the context");
  EXPECT_EQ(large.status, 400);
  EXPECT_EQ(error(large)["code"], "context_length_exceeded");
  EXPECT_EQ(refused(ErrorCode::kOverloaded, "64 requests are waiting").status, 429);
  EXPECT_EQ(refused(ErrorCode::kUnavailable, "the engine is stopping").status, 503);
  EXPECT_EQ(refused(ErrorCode::kInternal, "the device is gone").status, 500);
}

TEST_F(ServiceTest, RefusesPromptsWithoutTokens) {
  serve();
  const HttpResponse response =
      ask(post("/v1/completions", R"({"prompt":["a",""],"add_special_tokens":false})"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error(response)["param"], "prompt");
  EXPECT_TRUE(backend_->requests().empty());
}

TEST_F(ServiceTest, SeedsDifferWhenNoneIsGiven) {
  serve();
  ask(post("/v1/chat/completions", kHi));
  ask(post("/v1/chat/completions", kHi));
  EXPECT_NE(backend_->requests()[0].sampling.seed, backend_->requests()[1].sampling.seed);
  EXPECT_EQ(backend_->requests()[0].sampling.logprobs, -1);
}

TEST_F(ServiceTest, AnswersCompletionsForEveryPrompt) {
  serve();
  const HttpResponse response = ask(post("/v1/completions", R"({"prompt":["a","b"],"n":2,"echo":true})"));
  ASSERT_EQ(response.status, 200) << response.body;
  const json body = json::parse(response.body);
  ASSERT_EQ(body["choices"].size(), 4U);
  EXPECT_EQ(body["choices"][1]["text"], "ahello");
  EXPECT_EQ(body["choices"][2]["text"], "bhello");
  EXPECT_EQ(body["choices"][3]["index"], 3);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 4);  // two prompts of BOS and a letter, each counted once
}

TEST_F(ServiceTest, TakesTokenIdsAsTheyAre) {
  serve();
  ask(post("/v1/completions", R"({"prompt":[4,70,71]})"));
  EXPECT_EQ(submitted().prompt, (std::vector<int32_t>{4, 70, 71}));
}

TEST_F(ServiceTest, StreamsWhenAsked) {
  serve();
  const HttpResponse response =
      ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"stream":true})"));
  EXPECT_TRUE(response.body.starts_with("data: "));
  EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(ServiceTest, AddsSpeculationOnRequest) {
  serve();
  EXPECT_FALSE(json::parse(ask(post("/v1/chat/completions", kHi)).body).contains("metrics"));
  HttpRequest request = post("/v1/chat/completions", kHi);
  request.headers.emplace_back("x-include-speculation", "true");
  const json report = json::parse(ask(request).body)["metrics"]["speculative_decoding"];
  EXPECT_EQ(report["fallbacks"], json::parse(R"({"disabled":0,"not_worth":2,"no_draft":1,"no_room":0})"));
  EXPECT_EQ(report["num_preemptions"], 1);
}

TEST_F(ServiceTest, ReportsTheMostThatAStepMayDraft) {
  serve();
  EXPECT_EQ(spec_tokens(""), 7);
  EXPECT_EQ(spec_tokens(R"(,"speculation":{"max_nodes":3})"), 2);
  EXPECT_EQ(spec_tokens(R"(,"speculation":{"enabled":false})"), 0);
  EXPECT_EQ(spec_tokens(R"(,"speculation":{"drafter":"none"})"), 0);
  serve({}, 64, 4096, [](ServedModel& model) {
    model.tree_nodes = 0;
    model.tree_nodes_max = 17;
  });
  EXPECT_EQ(spec_tokens(""), 16);
  EXPECT_EQ(spec_tokens(R"(,"speculation":{"max_nodes":3})"), 2);
  serve({}, 64, 4096, [](ServedModel& model) { model.drafters.clear(); });
  EXPECT_EQ(spec_tokens(""), 0);
}

TEST_F(ServiceTest, CutsMaxTokensToTheContext) {
  serve({}, 64, 20);
  ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":1000})"));
  EXPECT_EQ(submitted().max_tokens, 14);
  const HttpResponse response =
      ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"more than 20 tokens"}]})"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error(response)["code"], "context_length_exceeded");
  EXPECT_EQ(error(response)["param"], "messages");
  EXPECT_EQ(error(ask(post("/v1/completions", R"({"prompt":"more than 20 tokens..."})")))["param"], "prompt");
}

// By their length, before they are tokenized: the message claims no more than that shows.
TEST_F(ServiceTest, RefusesHugePromptsByLength) {
  serve({}, 64, 100);
  const size_t longest = ByteTokenizer().longest_token();
  const std::string huge(size_t{1} << 20, '7');
  const std::string at_least = fmt::format("at least {} tokens", huge.size() / longest + 1);
  for (const char* target : {"/v1/completions", "/tokenize"}) {
    const HttpResponse response = ask(post(target, json{{"prompt", huge}}.dump()));
    EXPECT_EQ(response.status, 400) << target;
    EXPECT_EQ(error(response)["code"], "context_length_exceeded") << target;
    EXPECT_NE(error(response)["message"].get<std::string>().find(at_least), std::string::npos)
        << response.body;
  }
  // Messages stop being rendered at the length that cannot fit.
  json arguments;
  for (int i = 0; i < 1000; ++i) arguments[std::to_string(i)] = i;
  const json call = {{"type", "function"}, {"function", {{"name", "f"}, {"arguments", arguments.dump()}}}};
  const json messages = {{{"role", "assistant"}, {"tool_calls", {call}}},
                         {{"role", "user"}, {"content", "q"}}};
  for (const char* target : {"/v1/chat/completions", "/tokenize"}) {
    const HttpResponse response = ask(post(target, json{{"messages", messages}}.dump()));
    EXPECT_EQ(error(response)["code"], "context_length_exceeded") << response.body;
    EXPECT_EQ(error(response)["param"], "messages");
    EXPECT_NE(error(response)["message"].get<std::string>().find("at least 101 tokens"), std::string::npos);
  }
}

TEST_F(ServiceTest, RefusesWhenTheQueueIsFull) {
  serve({}, 2);
  backend_->hold(true);
  HttpRequest request = post("/v1/chat/completions", kHi);
  Outcome first = service_->handle(request, {});
  HttpRequest two = post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"n":2})");
  const HttpResponse refused = ask(two);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error(refused)["type"], "rate_limit_error");
  EXPECT_EQ(refused.headers, (std::vector<Header>{{"Retry-After", "1"}}));
  // The first of the two was taken back.
  while (backend_->cancelled() < 1) std::this_thread::yield();
  EXPECT_EQ(backend_->running(), 1);
}

TEST_F(ServiceTest, RefusesMoreChoicesThanEverFit) {
  Options options;
  options.max_sequences = 2;
  options.queue = 3;
  serve(options);
  EXPECT_EQ(ask(post("/v1/completions", R"({"prompt":["a","b","c","d","e"]})")).status, 200);
  const HttpResponse response = ask(post("/v1/completions", R"({"prompt":["a","b","c"],"n":2})"));
  EXPECT_EQ(response.status, 400);  // not 429, which clients retry
  EXPECT_EQ(error(response)["param"], "prompt");
  const HttpResponse chat =
      ask(post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"n":6})"));
  EXPECT_EQ(chat.status, 400);
  EXPECT_EQ(error(chat)["param"], "n");
  EXPECT_EQ(backend_->requests().size(), 5U);
}

TEST_F(ServiceTest, RefusesWhatIsNotJson) {
  serve();
  const std::pair<std::string, std::string> cases[] = {{"", "empty"},
                                                       {"{", "not JSON"},
                                                       {"[]", "array"},
                                                       {"\"x\"", "string"},
                                                       {"{\"a\":1}}", "not JSON"},
                                                       {std::string("\xFF"), "not JSON"},
                                                       {std::string(600, '['), "not JSON"}};
  for (const auto& [body, fragment] : cases) {
    const HttpResponse response = ask(post("/v1/chat/completions", body));
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_NE(error(response)["message"].get<std::string>().find(fragment), std::string::npos)
        << response.body;
  }
}

TEST_F(ServiceTest, RefusesOtherContentTypes) {
  serve();
  HttpRequest request = post("/v1/chat/completions", kHi);
  for (const char* good : {"application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json",
                           "application/x-www-form-urlencoded", ""}) {
    request.headers = {{"content-type", good}};
    EXPECT_EQ(ask(request).status, 200) << good;
  }
  for (const char* bad : {"text/plain", "multipart/form-data", "application/jsonp"}) {
    request.headers = {{"content-type", bad}};
    EXPECT_EQ(ask(request).status, 415) << bad;
  }
}

TEST_F(ServiceTest, AnswersUnderItsOwnNameWhateverModelIsNamed) {
  serve();
  const HttpResponse other =
      ask(post("/v1/chat/completions", R"({"model":"other","messages":[{"role":"user","content":"hi"}]})"));
  EXPECT_EQ(other.status, 200);
  EXPECT_NE(json::parse(other.body)["model"], "other");
  const HttpResponse missing = ask(get("/v1/models/other"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(error(missing)["code"], "model_not_found");
  const HttpResponse alias =
      ask(post("/v1/chat/completions", R"({"model":"alias","messages":[{"role":"user","content":"hi"}]})"));
  EXPECT_EQ(json::parse(alias.body)["model"], "alias");
}

TEST_F(ServiceTest, ListsModels) {
  serve();
  const json list = json::parse(ask(get("/v1/models")).body);
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"].size(), 2U);
  EXPECT_EQ(list["data"][0]["id"], "fake-v4");
  EXPECT_EQ(list["data"][0]["max_model_len"], 4096);
  EXPECT_EQ(list["data"][0]["drafters"], json::parse(R"(["dspark","ngram","dspark+ngram"])"));
  EXPECT_EQ(json::parse(ask(get("/models/alias")).body)["id"], "alias");
  EXPECT_EQ(ask(get("/v1/models/other")).status, 404);
}

TEST_F(ServiceTest, KnowsItsPathsAndMethods) {
  serve();
  EXPECT_EQ(ask(get("/nowhere")).status, 404);
  EXPECT_EQ(error(ask(get("/nowhere")))["type"], "not_found_error");
  const HttpResponse wrong = ask(get("/v1/chat/completions"));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers, (std::vector<Header>{{"Allow", "POST, OPTIONS"}}));
  EXPECT_EQ(ask(post("/health", "")).status, 405);
  HttpRequest preflight = get("/v1/chat/completions");
  preflight.method = "OPTIONS";
  EXPECT_EQ(ask(preflight).status, 204);
  EXPECT_EQ(json::parse(ask(get("/version")).body)["version"], "0.1.0");
}

TEST_F(ServiceTest, ReportsHealth) {
  service_ = std::make_unique<Service>(Options{});
  EXPECT_EQ(ask(get("/health")).status, 503);
  EXPECT_EQ(json::parse(ask(get("/health")).body)["status"], "loading");
  const HttpResponse early = ask(post("/v1/chat/completions", kHi));
  EXPECT_EQ(early.status, 503);
  EXPECT_EQ(error(early)["code"], "loading");
  EXPECT_EQ(ask(get("/metrics")).status, 200);
  serve();
  EXPECT_EQ(ask(get("/health")).status, 200);
  scheduler::EngineStats broken;
  broken.engine_failed = 1;
  backend_->set_stats(broken);
  EXPECT_EQ(ask(get("/health")).status, 503);
  EXPECT_EQ(json::parse(ask(get("/health")).body)["status"], "failed");
  service_->begin_stop();
  EXPECT_EQ(ask(get("/health")).status, 503);
  EXPECT_EQ(error(ask(post("/v1/completions", R"({"prompt":"a"})")))["code"], "stopping");
}

TEST_F(ServiceTest, ExportsMetrics) {
  serve();
  scheduler::EngineStats stats;
  stats.accepted_at_depth[1] = 5;
  stats.drafted_at_depth[1] = 11;
  stats.decode_steps = 12;
  stats.fallbacks = {13, 14, 15, 16};
  stats.preemptions = 17;
  stats.prefix_queries = 18;
  stats.prefix_hits = 19;
  stats.prefix_states = 20;
  stats.prefix_bytes = 21;
  stats.canary_checks = 22;
  stats.canary_mismatches = 23;
  stats.expected_step_seconds = 24.5;
  stats.observed_step_seconds = 25.5;
  stats.reliability[2] = {0.0625, 0.125, 0.75};
  backend_->set_stats(stats);
  ask(post("/v1/chat/completions", kHi));
  ask(get("/nowhere"));
  const std::string text = ask(get("/metrics")).body;
  for (const char* line :
       {"vllm:num_requests_running{model_name=\"fake-v4\"} 0",
        "# TYPE vllm:num_requests_waiting gauge",
        "# TYPE vllm:prompt_tokens_total counter",
        "# TYPE vllm:generation_tokens_total counter",
        "# TYPE vllm:spec_decode_num_drafts_total counter",
        "# TYPE vllm:spec_decode_num_draft_tokens_total counter",
        "# TYPE vllm:spec_decode_num_accepted_tokens_total counter",
        "vllm:spec_decode_num_accepted_tokens_per_pos_total{model_name=\"fake-v4\",position=\"1\"} 5",
        "# TYPE vllm:num_requests_running gauge",
        "# TYPE vllm:num_preemptions_total counter",
        "vllm:num_preemptions_total{model_name=\"fake-v4\"} 17",
        "# TYPE vllm:prefix_cache_queries_total counter",
        "vllm:prefix_cache_queries_total{model_name=\"fake-v4\"} 18",
        "# TYPE vllm:prefix_cache_hits_total counter",
        "vllm:prefix_cache_hits_total{model_name=\"fake-v4\"} 19",
        "# TYPE foretoken_prefix_cache_states gauge",
        "foretoken_prefix_cache_states{model_name=\"fake-v4\"} 20",
        "foretoken_prefix_cache_bytes{model_name=\"fake-v4\"} 21",
        "foretoken_spec_decode_num_drafts_per_pos_total{model_name=\"fake-v4\",position=\"1\"} 11",
        "foretoken_decode_steps_total{model_name=\"fake-v4\"} 12",
        "# TYPE foretoken_spec_decode_fallbacks_total counter",
        "foretoken_spec_decode_fallbacks_total{model_name=\"fake-v4\",reason=\"disabled\"} 13",
        "foretoken_spec_decode_fallbacks_total{model_name=\"fake-v4\",reason=\"not_worth\"} 14",
        "foretoken_spec_decode_fallbacks_total{model_name=\"fake-v4\",reason=\"no_draft\"} 15",
        "foretoken_spec_decode_fallbacks_total{model_name=\"fake-v4\",reason=\"no_room\"} 16",
        "foretoken_canary_checks_total{model_name=\"fake-v4\"} 22",
        "foretoken_canary_mismatches_total{model_name=\"fake-v4\"} 23",
        "foretoken_expected_step_seconds_total{model_name=\"fake-v4\"} 24.5",
        "foretoken_observed_step_seconds_total{model_name=\"fake-v4\"} 25.5",
        "# TYPE foretoken_draft_calibration_ece gauge",
        "foretoken_draft_calibration_ece{model_name=\"fake-v4\",position=\"2\"} 0.0625",
        "foretoken_draft_calibration_brier{model_name=\"fake-v4\",position=\"2\"} 0.125",
        "foretoken_draft_calibration_auc{model_name=\"fake-v4\",position=\"2\"} 0.75",
        "foretoken_draft_calibration_auc{model_name=\"fake-v4\",position=\"0\"} 0.5",
        "vllm:time_to_first_token_seconds_count 1",
        "vllm:e2e_request_latency_seconds_count 1",
        "vllm:request_success_total{finished_reason=\"stop\"} 1",
        "foretoken_http_refusals_total{status=\"404\"} 1",
        "foretoken_build_info{version=\"0.1.0\"} 1"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST_F(ServiceTest, TokenizesAndDetokenizes) {
  serve();
  const json text = json::parse(ask(post("/tokenize", R"({"prompt":"hi","return_token_strs":true})")).body);
  EXPECT_EQ(text["count"], 3);
  EXPECT_EQ(text["max_model_len"], 4096);
  EXPECT_EQ(text["tokens"][0], ByteTokenizer::kBosId);
  EXPECT_EQ(text["token_strs"][1], "h");
  const json bare =
      json::parse(ask(post("/v1/tokenize", R"({"prompt":"hi","add_special_tokens":false})")).body);
  EXPECT_EQ(bare["count"], 2);
  EXPECT_TRUE(bare["token_strs"].is_null());
  EXPECT_EQ(json::parse(ask(post("/tokenize", kHi)).body)["count"], 6);
  EXPECT_EQ(ask(post("/tokenize", "{}")).status, 400);
  EXPECT_EQ(ask(post("/tokenize", R"({"prompt":7})")).status, 400);
  const json back = json::parse(ask(post("/detokenize", R"({"tokens":[0,111,112]})")).body);
  EXPECT_EQ(back["prompt"], "<｜begin▁of▁sentence｜>hi");
  EXPECT_EQ(error(ask(post("/detokenize", R"({"tokens":[0,9999]})")))["param"], "tokens[1]");
  EXPECT_EQ(ask(post("/detokenize", R"({"tokens":"x"})")).status, 400);
}

TEST_F(ServiceTest, KeepsSaneRequestIds) {
  serve();
  HttpRequest request = get("/health");
  request.headers = {{"x-request-id", "abc-1"}};
  service_->identify(request);
  EXPECT_EQ(request.id, "abc-1");
  request.headers = {{"x-request-id", "a\r\nb"}};
  service_->identify(request);
  EXPECT_TRUE(request.id.starts_with("req-"));
  EXPECT_EQ(service_->headers(request)[0].first, "x-request-id");
}

}  // namespace
}  // namespace ft::server
