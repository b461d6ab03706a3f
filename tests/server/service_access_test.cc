// Who may ask a service, and what is refused by the head of a request alone.
#include <gtest/gtest.h>

#include "tests/server/service_fixture.h"

namespace ft::server {
namespace {

using testing::get;
using testing::kHi;
using testing::post;
using testing::ServiceTest;

TEST_F(ServiceTest, ChecksKeys) {
  Options options;
  options.api_keys = {"secret", "other"};
  serve(options);
  EXPECT_EQ(ask(post("/v1/chat/completions", kHi)).status, 401);
  EXPECT_EQ(ask(get("/v1/models")).status, 401);
  EXPECT_EQ(ask(get("/health")).status, 200);
  EXPECT_EQ(ask(get("/metrics")).status, 200);
  const std::pair<const char*, const char*> good[] = {
      {"authorization", "Bearer secret"}, {"authorization", "bearer other"}, {"x-api-key", "secret"}};
  for (const auto& [name, value] : good) {
    HttpRequest request = post("/v1/chat/completions", kHi);
    request.headers.emplace_back(name, value);
    EXPECT_EQ(ask(request).status, 200) << value;
  }
  const std::pair<const char*, const char*> bad[] = {{"authorization", "Bearer secreT"},
                                                     {"authorization", "secret"},
                                                     {"x-api-key", ""},
                                                     {"x-api-key", "secret1"}};
  for (const auto& [name, value] : bad) {
    HttpRequest request = post("/v1/chat/completions", kHi);
    request.headers.emplace_back(name, value);
    EXPECT_EQ(ask(request).status, 401) << value;
  }
}

TEST_F(ServiceTest, AllRequestsAreEqualUnlessTold) {
  serve();
  for (const char* priority : {"-1000", "1000"})
    ask(post("/v1/completions", std::string(R"({"prompt":"a","priority":)") + priority + "}"));
  for (const scheduler::GenerateRequest& request : backend_->requests()) EXPECT_EQ(request.priority, 0);
}

TEST_F(ServiceTest, TheHeadAloneIsRefused) {
  Options options;
  options.api_keys = {"secret"};
  serve(options);
  const auto status = [&](HttpRequest request) {
    const auto refused = service_->admit(request);
    return refused ? refused->status : 200;
  };
  const auto with = [](HttpRequest request, const char* name, const char* value) {
    request.headers.emplace_back(name, value);
    return request;
  };
  EXPECT_EQ(status(post("/v1/chat/completions", "")), 401);
  EXPECT_EQ(status(with(post("/v1/chat/completions", ""), "x-api-key", "secret")), 200);
  EXPECT_EQ(status(post("/nothing", "")), 404);
  EXPECT_EQ(status(get("/v1/chat/completions")), 405);
  EXPECT_EQ(status(get("/health")), 200);
}

TEST_F(ServiceTest, AKeylessLocalServerAnswersToLocalNamesOnly) {
  Options options;
  options.allowed_hosts = {"My.Name"};
  serve(options);
  const auto status = [&](const char* host) {
    HttpRequest request = get("/health");
    request.headers.emplace_back("host", host);
    return ask(request).status;
  };
  for (const char* host :
       {"localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "[::1]", "my.name:1"})
    EXPECT_EQ(status(host), 200) << host;
  for (const char* host :
       {"rebind.evil", "localhost.evil", "127.0.0.1.evil", "127.1", "1.2.3.4", "[::2]:8000", "x"})
    EXPECT_EQ(status(host), 403) << host;
  options.host = "0.0.0.0";
  serve(options);
  EXPECT_EQ(status("rebind.evil"), 200);
  options.host = "127.0.0.1";
  options.api_keys = {"k"};
  serve(options);
  EXPECT_EQ(status("rebind.evil"), 200);
}

TEST_F(ServiceTest, BrowsersMustSendJsonAsSuch) {
  serve();
  const auto status = [&](const char* type, bool browser) {
    HttpRequest request = post("/v1/completions", R"({"prompt":"a"})");
    request.headers.clear();
    if (type != nullptr) request.headers.emplace_back("content-type", type);
    if (browser) request.headers.emplace_back("origin", "http://evil.example");
    return ask(request).status;
  };
  for (const bool browser : {false, true}) {
    EXPECT_EQ(status("application/json; charset=utf-8", browser), 200);
    EXPECT_EQ(status("application/x-www-form-urlencoded", browser), browser ? 415 : 200);
    EXPECT_EQ(status(nullptr, browser), browser ? 415 : 200);
    EXPECT_EQ(status("text/plain", browser), 415);
  }
}

}  // namespace
}  // namespace ft::server
