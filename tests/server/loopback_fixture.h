// The whole server over real sockets, with a scripted engine.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/http/http_server.h"
#include "server/service.h"
#include "tests/server/fake_model.h"
#include "tests/server/raw_client.h"

namespace ft::server::testing {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

inline constexpr const char* kChat = R"({"messages":[{"role":"user","content":"hi"}]})";
inline constexpr const char* kStream = R"({"messages":[{"role":"user","content":"hi"}],"stream":true})";
// The fake engine goes on until it is cancelled.
inline constexpr const char* kEndless =
    R"({"messages":[{"role":"user","content":"endless"}],"max_tokens":1000000})";
inline constexpr const char* kEndlessStream =
    R"({"messages":[{"role":"user","content":"endless"}],"stream":true,"max_tokens":1000000})";

// An answer; without an end where "endless" is in the prompt.
inline Script direct(const scheduler::GenerateRequest& request) {
  Script script = say("The answer is 42.");
  const std::vector<int32_t> word = ByteTokenizer::bytes("endless");
  if (std::search(request.prompt.begin(), request.prompt.end(), word.begin(), word.end()) !=
      request.prompt.end()) {
    script.steps.pop_back();
    script.endless = true;
  }
  return script;
}

class Loopback : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.port = 0;
    options_.keepalive_seconds = 1;
  }

  void serve(std::chrono::milliseconds step_time = std::chrono::milliseconds(1), size_t queue_max = 64,
             int64_t context = 1 << 21) {
    service_ = std::make_unique<Service>(options_);
    auto backend = std::make_unique<ScriptedBackend>(direct, step_time, queue_max);
    backend_ = backend.get();
    service_->set_model(fake_model(std::move(backend), context));
    auto server = HttpServer::start(options_, *service_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  uint16_t port() const { return server_->port(); }

  // Seconds until the engine has dropped `count` requests.
  double seconds_until_cancelled(int64_t count) {
    const auto begin = Clock::now();
    while (backend_->cancelled() < count && Clock::now() - begin < std::chrono::seconds(10)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  void wait_until_closed() {
    const auto begin = Clock::now();
    while (server_->connections() > 0 && Clock::now() - begin < std::chrono::seconds(10)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void wait_until_running(int64_t count) {
    while (backend_->running() < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  Options options_;
  std::unique_ptr<Service> service_;
  ScriptedBackend* backend_ = nullptr;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace ft::server::testing
