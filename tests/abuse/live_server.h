// The program, started for a test on a port of its own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/abuse/connection.h"
#include "tests/abuse/process.h"
#include "tests/server/raw_client.h"
#include "tests/support/program.h"

namespace ft::abuse {

using server::testing::RawClient;
using server::testing::RawResponse;

constexpr std::string_view kHi = R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":2})";
constexpr std::string_view kChat = "/v1/chat/completions";

class LiveServer : public ::testing::Test {
 protected:
  // Waits until it listens, which is before it has its model.
  void start(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> all = {"--model",     FT_MODELS "/v4-nano-dspark",
                                    "--port",      "0",
                                    "--threads",   "1",
                                    "--drafter",   "none",
                                    "--state-dir", ""};
    all.insert(all.end(), flags.begin(), flags.end());
    program_ = std::make_unique<testing::Program>(FT_SERVER_PROGRAM, all);
    ASSERT_TRUE(program_->wait_for("listening on")) << program_->errors();
    server_.port = testing::port_of(*program_);
  }
  // Waits until it has its model, too.
  void serve(const std::vector<std::string>& flags = {}) {
    start(flags);
    ASSERT_TRUE(program_->wait_for("ready in")) << program_->errors();
  }

  Process process() const { return Process(program_->pid()); }

  // Whether the server still answers somebody else.
  bool lives() {
    RawClient client(server_.port);
    client.send(get(server_, "/version"));
    return client.read_response().status == 200;
  }
  // What the server says to these bytes.
  RawResponse answer_to(std::string_view bytes) {
    RawClient client(server_.port);
    client.send(bytes);
    return client.read_response(20'000);
  }
  int status_of(std::string_view bytes) { return answer_to(bytes).status; }

  Server server_;
  std::unique_ptr<testing::Program> program_;
};

}  // namespace ft::abuse
