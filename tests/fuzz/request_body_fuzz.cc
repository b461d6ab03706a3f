#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/check.h"
#include "encoding/ordered_json.h"
#include "server/service.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/server/fake_model.h"

namespace ft::fuzz {
namespace {

using namespace ft::server;
using encoding::Json;

constexpr int64_t kContext = 512;
constexpr std::string_view kReply =
    "I think.</think>It is \"5\"\n.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke "
    "name=\"get_time\">\n<｜DSML｜parameter "
    "name=\"city\" string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";

// Has a whole reply ready at once.
class ReadyBackend : public GenerationBackend {
 public:
  Result<std::shared_ptr<scheduler::TokenStream>> submit(scheduler::GenerateRequest request,
                                                         std::function<void()> notify) override {
    FT_CHECK(request.max_tokens >= 1);
    FT_CHECK(request.max_tokens + static_cast<int64_t>(request.prompt.size()) <= kContext);
    auto stream = std::make_shared<scheduler::TokenStream>(request.max_tokens, std::move(notify));
    scheduler::RequestReport report;
    report.prompt_tokens = static_cast<int64_t>(request.prompt.size());
    report.finish_reason = scheduler::FinishReason::kLength;
    std::vector<int32_t> tokens = testing::ByteTokenizer::bytes(kReply);
    tokens.push_back(testing::ByteTokenizer::kEosId);
    for (const int32_t token : tokens) {
      if (report.completion_tokens == request.max_tokens) break;
      scheduler::TokenEvent event;
      event.token = token;
      event.step = static_cast<int32_t>(report.completion_tokens++ / 3);
      if (request.sampling.logprobs >= 0) event.logprob = -0.5F;
      for (int k = 0; k < request.sampling.logprobs; ++k) event.top.push_back({k, -1.0F});
      if (token == testing::ByteTokenizer::kEosId) {
        report.finish_reason = scheduler::FinishReason::kStop;
        report.stop_token = token;
      }
      stream->push(std::move(event));
    }
    stream->finish(std::move(report));
    return stream;
  }
  scheduler::EngineStats stats() const override { return {}; }
};

Service& service() {
  static Service instance{Options()};
  static const bool ready = [] {
    instance.set_model(testing::fake_model(std::make_unique<ReadyBackend>(), kContext));
    return true;
  }();
  FT_CHECK(ready);
  return instance;
}

void check_events(std::string_view events, std::string_view body) {
  FT_CHECK(events.ends_with("\n\n"), body);
  while (!events.empty()) {
    std::string_view event = events.substr(0, events.find("\n\n"));
    events.remove_prefix(event.size() + 2);
    if (event.starts_with("event: ")) event.remove_prefix(event.find('\n') + 1);
    FT_CHECK(event.starts_with("data: "), event, body);
    event.remove_prefix(6);
    FT_CHECK(event == "[DONE]" || Json::parse(event).has_value(), event, body);
  }
}

// The status of the answer, which is looked at.
int answer(std::string_view path, std::string_view body) {
  HttpRequest request;
  request.method = "POST";
  request.target = path;
  request.headers = {{"host", "localhost"}, {"content-type", "application/json"}};
  request.body = body;
  service().identify(request);
  Outcome outcome = service().handle(request, [] {});
  HttpResponse response;
  if (auto* at_once = std::get_if<HttpResponse>(&outcome)) {
    response = std::move(*at_once);
  } else {
    auto& reply = std::get<std::unique_ptr<PendingResponse>>(outcome);
    std::string events;
    while (!reply->pump(events)) {
    }
    if (reply->stream()) {
      check_events(events, body);
      return 200;
    }
    response = reply->response();
  }
  FT_CHECK(response.status < 500, response.body, body);
  const auto json = Json::parse(response.body);
  FT_CHECK(json && json->is_object(), response.body, body);
  if (response.status != 200) {
    const Json& message = json->get("error").get("message");
    FT_CHECK(message.is_string() && !message.as_string().empty(), response.body, body);
  }
  return response.status;
}

void check(std::string_view path, std::span<const uint8_t> input) {
  const std::string_view body(reinterpret_cast<const char*>(input.data()), input.size());
  FT_CHECK(answer(path, body) == answer(path, body), body);
}

}  // namespace

void chat_body(std::span<const uint8_t> input) {
  check("/v1/chat/completions", input);
}
void completions_body(std::span<const uint8_t> input) {
  check("/v1/completions", input);
}
void messages_body(std::span<const uint8_t> input) {
  check("/v1/messages", input);
}
void responses_body(std::span<const uint8_t> input) {
  check("/v1/responses", input);
}

}  // namespace ft::fuzz
