// A service over a scripted engine, for tests that ask it without a network.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "server/service.h"
#include "tests/server/ask.h"
#include "tests/server/fake_model.h"

namespace ft::server::testing {

using nlohmann::json;

inline HttpRequest post(const std::string& target, const std::string& body) {
  return json_request("POST", target, body);
}

inline HttpRequest get(const std::string& target) {
  HttpRequest request;
  request.method = "GET";
  request.target = target;
  return request;
}

class ServiceTest : public ::testing::Test {
 protected:
  void serve(Options options = {}, size_t queue_max = 64, int64_t context = 4096,
             const std::function<void(ServedModel&)>& change = {}) {
    service_ = std::make_unique<Service>(options);
    auto backend =
        std::make_unique<ScriptedBackend>([](const scheduler::GenerateRequest&) { return say("hello"); },
                                          std::chrono::milliseconds(0), queue_max);
    backend_ = backend.get();
    auto model = fake_model(std::move(backend), context);
    if (change) change(*model);
    service_->set_model(std::move(model));
  }

  // num_spec_tokens of a chat with these extra members.
  json spec_tokens(const std::string& members) {
    const HttpResponse response = ask(
        post("/v1/chat/completions",
             R"({"messages":[{"role":"user","content":"hi"}],"include_speculation":true)" + members + "}"));
    return json::parse(response.body)["metrics"]["speculative_decoding"]["num_spec_tokens"];
  }

  HttpResponse ask(const HttpRequest& given) {
    HttpRequest request = given.without_body();
    request.body = given.body;
    return testing::ask(*service_, std::move(request));
  }
  json error(const HttpResponse& response) { return json::parse(response.body).at("error"); }
  // The one request that reached the engine.
  scheduler::GenerateRequest submitted() { return backend_->requests().at(0); }

  std::unique_ptr<Service> service_;
  ScriptedBackend* backend_ = nullptr;
};

inline constexpr const char* kHi = R"({"messages":[{"role":"user","content":"hi"}]})";

}  // namespace ft::server::testing
