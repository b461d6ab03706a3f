// A service that answers on /v1/responses with a scripted text.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "server/service.h"
#include "tests/server/ask.h"
#include "tests/server/fake_model.h"

namespace ft::server::testing {

using nlohmann::json;

struct Event {
  std::string name;
  json data;
};

inline std::vector<Event> events_of(const std::string& stream) {
  std::vector<Event> events;
  for (size_t at = 0; at < stream.size();) {
    const size_t end = stream.find("\n\n", at);
    const std::string text = stream.substr(at, end - at);
    at = end + 2;
    if (!text.starts_with("event: ")) continue;
    const size_t line = text.find("\ndata: ");
    events.push_back({text.substr(7, line - 7), json::parse(text.substr(line + 7))});
  }
  return events;
}

inline constexpr const char* kCall =
    "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"NAME\">\n"
    "<｜DSML｜parameter name=\"city\" string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
    "</｜DSML｜tool_calls>";

inline std::string call_of(const std::string& name) {
  std::string text = kCall;
  return text.replace(text.find("NAME"), 4, name);
}

class ResponsesTest : public ::testing::Test {
 protected:
  // Serves a model that says `text`, then ends its turn, or is cut off.
  void serve(const std::string& text, bool cut = false, Options options = {}) {
    service_ = std::make_unique<Service>(options);
    auto backend = std::make_unique<ScriptedBackend>([text, cut](const scheduler::GenerateRequest&) {
      Script script = say(text);
      if (!cut) return script;
      script.steps.pop_back();
      script.reason = scheduler::FinishReason::kLength;
      return script;
    });
    backend_ = backend.get();
    service_->set_model(fake_model(std::move(backend), 1 << 16));
  }

  HttpResponse send(const std::string& method, const std::string& target, const std::string& body = "") {
    return ask(*service_, json_request(method, target, body));
  }
  json respond(const json& body) {
    const HttpResponse response = send("POST", "/v1/responses", body.dump());
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body);
  }
  json refuse(const json& body) {
    const HttpResponse response = send("POST", "/v1/responses", body.dump());
    EXPECT_EQ(response.status, 400) << response.body;
    return json::parse(response.body)["error"];
  }
  std::vector<Event> stream(json body) {
    body["stream"] = true;
    return events_of(send("POST", "/v1/responses", body.dump()).body);
  }
  // The prompt of the latest request, as text.
  std::string prompt() { return *ByteTokenizer().decode(backend_->requests().back().prompt); }

  std::unique_ptr<Service> service_;
  ScriptedBackend* backend_ = nullptr;
};

inline const json kThinking = {{"enabled", true}};

inline json function(const std::string& name) {
  return {{"type", "function"}, {"name", name}, {"parameters", {{"type", "object"}}}, {"strict", false}};
}

}  // namespace ft::server::testing
