// Time, memory and sizes: what a request may take, and what its client is told.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/abuse/large_texts.h"
#include "tests/abuse/live_server.h"

namespace ft::abuse {
namespace {

constexpr size_t kLarge = 8 << 20;

class Limits : public LiveServer {
 protected:
  std::string large(std::string_view name, size_t bytes = kLarge) {
    for (const LargeText& text : large_texts())
      if (text.name == name) return post(server_, text.path, text.body(bytes));
    ADD_FAILURE() << "there is no text " << name;
    return "";
  }
  // Resident memory once nothing runs; the server may take a moment to give it back.
  int64_t settled(int64_t most) {
    for (int i = 0; i < 100 && process().memory().resident > most; ++i)
      std::this_thread::sleep_for(milliseconds(50));
    return process().memory().resident;
  }
};

TEST_F(Limits, SlowHeadsAreToldSo) {
  start({"--request-seconds", "1"});
  RawClient client(server_.port);
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: loc");
  EXPECT_EQ(client.read_response(10'000).status, 408);
  EXPECT_TRUE(client.at_end());
}

TEST_F(Limits, SlowBodiesAreToldSo) {
  start({"--request-seconds", "1"});
  for (const std::string& request :
       {post_head(server_, kChat, 100) + "{", fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n"
                                                          "Transfer-Encoding: chunked\r\n\r\n5;",
                                                          kChat)}) {
    RawClient client(server_.port);
    client.send(request);
    EXPECT_EQ(client.read_response(10'000).status, 408);
    EXPECT_TRUE(client.at_end());
  }
}

// Bytes that come now and then do not move the deadline.
TEST_F(Limits, DrippingBytesGainNoTime) {
  start({"--request-seconds", "1"});
  RawClient client(server_.port);
  const Clock::time_point begin = Clock::now();
  client.send(
      fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", kChat));
  while (Clock::now() - begin < std::chrono::seconds(10) && !client.read_more(50)) client.send("1\r\nx\r\n");
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(client.read_response().status, 408);
}

// A client that goes as soon as it has its reply leaves nothing behind, whenever its going is noticed.
TEST_F(Limits, ConnectionsEndWithTheirClients) {
  serve();
  status_of(post(server_, kChat, kHi));
  const int before = process().descriptors();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int request = 0; request < 250; ++request) status_of(post(server_, kChat, kHi));
    });
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 100 && process().descriptors() > before; ++i)
    std::this_thread::sleep_for(milliseconds(50));
  EXPECT_LE(process().descriptors(), before);
}

// However its bytes arrive.
TEST_F(Limits, AHeadHasALimit) {
  start({"--max-header-bytes", "2000"});
  const auto with = [&](size_t bytes) {
    return "GET /version HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(bytes, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(status_of(with(1900)), 200);
  EXPECT_EQ(status_of(with(2000)), 431);
  EXPECT_EQ(status_of(with(15'000)), 431);
  RawClient client(server_.port);
  const std::string bytes = with(2000);
  for (size_t at = 0; at < bytes.size(); at += 500) {
    client.send(std::string_view(bytes).substr(at, 500));
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_EQ(client.read_response().status, 431);
}

TEST_F(Limits, ABodyHasALimit) {
  start({"--max-body-bytes", "1000"});
  EXPECT_EQ(status_of(post_head(server_, kChat, 1001)), 413);
  EXPECT_EQ(status_of(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3e9\r\n{}\r\n0\r\n\r\n",
                                  kChat, std::string(1001, ' '))),
            413);
}

TEST_F(Limits, KeysInTargetsStayOutOfTheLog) {
  start({"--log-level", "debug"});
  status_of("GET /v1/models?api_key=hunter2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  status_of("GET /nothing?api_key=hunter2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  status_of("POST /tokenize?api_key=hunter2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(program_->errors().find("hunter2"), std::string::npos) << program_->errors();
}

// A prompt that cannot fit is refused by its length, and what reading it took is given back.
TEST_F(Limits, PromptsBeyondTheContextAreRefusedUnread) {
  serve();
  lives();
  for (const char* name :
       {"digits", "letters", "spaces", "emoji", "control tokens", "completion of letters"}) {
    const std::string request = large(name);
    const int64_t before = process().memory().resident;
    process().reset_peak();
    const Clock::time_point begin = Clock::now();
    EXPECT_EQ(status_of(request), 400) << name;
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3)) << name;
    EXPECT_LT(mib(process().memory().peak - before), 96) << name;
    EXPECT_LT(mib(settled(before + (20 << 20)) - before), 24) << name;
  }
}

// Two prompts of 4 MB that no context holds are refused at once, and neither a stream nor a supervisor sees them.
TEST_F(Limits, PromptsBeyondTheContextHoldUpNoStream) {
  serve();
  const auto ms_since = [](Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  };
  for (const char* name : {"words", "Chinese", "digits"}) {
    const std::string request = large(name, 4 << 20);
    RawClient stream(server_.port);
    stream.send(post(server_, kChat,
                     R"({"messages":[{"role":"user","content":"hi"}],"stream":true,"ignore_eos":true,)"
                     R"("max_tokens":100000})"));
    ASSERT_TRUE(stream.read_until("data: ", 20'000)) << name;
    RawClient first(server_.port);
    RawClient second(server_.port);
    RawClient supervisor(server_.port);
    const Clock::time_point begin = Clock::now();
    Clock::time_point heard = begin;
    double longest_silence = 0;
    double longest_health = 0;
    first.send(request);
    second.send(request);
    for (int answered = 0; answered < 2;) {
      const Clock::time_point asked = Clock::now();
      supervisor.send(get(server_, "/health"));
      ASSERT_EQ(supervisor.read_response(60'000).status, 200) << name;
      longest_health = std::max(longest_health, ms_since(asked));
      longest_silence = std::max(longest_silence, ms_since(heard));
      if (stream.read_more(0)) heard = Clock::now();
      answered = 0;
      for (RawClient* one : {&first, &second}) {
        one->read_more(0);
        answered += one->buffered().empty() ? 0 : 1;
      }
    }
    EXPECT_LT(ms_since(begin), 3000) << name;
    EXPECT_LT(longest_health, 1000) << name;
    EXPECT_LT(longest_silence, 1000) << name;
    EXPECT_TRUE(stream.read_more()) << name;  // it goes on
    for (RawClient* one : {&first, &second}) {
      const RawResponse refused = one->read_response();
      EXPECT_EQ(refused.status, 400) << name;
      EXPECT_NE(refused.body.find("context_length_exceeded"), std::string::npos) << name;
    }
  }
}

// Tools, arguments and lists hold no prompt that could be measured without them being read: others do not
// wait. They did for 6 to 28 seconds; the limits leave room for a busy machine.
TEST_F(Limits, LargeTextsDelayNobody) {
  serve();
  for (const char* name : {"one tool with many properties", "arguments with many keys", "words", "numbers",
                           "logit_bias", "/tokenize of letters", "/tokenize of digits"}) {
    RawClient first(server_.port);
    RawClient second(server_.port);
    const std::string request = large(name, 4 << 20);
    double longest = 0;
    double longest_reply = 0;
    first.send(request);
    second.send(request);
    RawClient client(server_.port);
    const auto ms_of = [&](std::string_view bytes) {
      const Clock::time_point begin = Clock::now();
      client.send(bytes);
      EXPECT_EQ(client.read_response(60'000).status, 200) << name;
      return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    };
    const std::string hi = post(server_, kChat, kHi);
    for (int answered = 0; answered < 2;) {
      longest = std::max(longest, ms_of(get(server_, "/health")));
      longest_reply = std::max(longest_reply, ms_of(hi));
      answered = 0;
      for (RawClient* one : {&first, &second}) {
        one->read_more(0);
        answered += one->buffered().empty() ? 0 : 1;
      }
    }
    EXPECT_LT(longest, 1000) << name;
    EXPECT_LT(longest_reply, 3000) << name;
  }
}

// Where the system has no memory left, requests fail one by one, and the server is there when it has some again.
TEST_F(Limits, WithoutMemoryRequestsFailAlone) {
  serve({"--max-buffered-bytes", "1000000000"});
  status_of(post(server_, kChat, kHi));
  const auto size = static_cast<rlim_t>(process().address_space());
  const rlimit tight{size + (6 << 20), RLIM_INFINITY};
  const pid_t pid = program_->pid();
  ASSERT_EQ(prlimit(pid, RLIMIT_AS, &tight, nullptr), 0);
  int refused = 0;
  for (const char* name : {"numbers", "digits", "one tool with many properties", "/tokenize of letters"}) {
    const std::string request = large(name, 7 << 20);
    std::vector<std::thread> threads;
    std::atomic<int> lacking{0};
    for (int i = 0; i < 6; ++i)
      threads.emplace_back([&] {
        const int status = status_of(request);
        if (status == 503) ++lacking;
        EXPECT_TRUE(status == 503 || status == 400 || status == 200 || status == 0) << name << ": " << status;
      });
    for (std::thread& thread : threads) thread.join();
    refused += lacking;
    ASSERT_TRUE(process().alive()) << name << program_->errors();
  }
  EXPECT_GT(refused, 0) << "no request found too little memory";
  const rlimit wide{RLIM_INFINITY, RLIM_INFINITY};
  ASSERT_EQ(prlimit(pid, RLIMIT_AS, &wide, nullptr), 0);
  EXPECT_EQ(status_of(post(server_, kChat, kHi)), 200);
  program_->signal(SIGTERM);
  EXPECT_EQ(program_->wait(30), 0) << program_->errors();
}

}  // namespace
}  // namespace ft::abuse
