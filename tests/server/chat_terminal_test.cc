// The terminal chat as a person has it: the program on a pseudo-terminal, keys in, a screen out.
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>

#include "tests/server/loopback_fixture.h"

namespace ft::server {
namespace {

class ChatTerminal : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.port = 0;
    service_ = std::make_unique<Service>(options_);
    auto backend =
        std::make_unique<testing::ScriptedBackend>(testing::direct, std::chrono::milliseconds(1), 64);
    backend_ = backend.get();
    service_->set_model(testing::fake_model(std::move(backend), 1 << 21));
    server_ = HttpServer::start(options_, *service_).value();
    const std::string url = "http://127.0.0.1:" + std::to_string(server_->port());
    child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ == 0) {
      execl(FT_SERVER_PROGRAM, "foretoken-server", "chat", "--url", url.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    ASSERT_GT(child_, 0);
  }
  void TearDown() override {
    close(terminal_);
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }

  void type(const std::string& keys) {
    ASSERT_EQ(write(terminal_, keys.data(), keys.size()), std::ssize(keys));
  }

  // Whether `text` comes on the screen, behind all that was waited for before.
  bool sees(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (;;) {
      const size_t at = screen_.find(text, seen_);
      if (at != std::string::npos) {
        seen_ = at + text.size();
        return true;
      }
      pollfd ready{terminal_, POLLIN, 0};
      if (std::chrono::steady_clock::now() > end || poll(&ready, 1, 20'000) != 1) return false;
      char bytes[4096];
      const ssize_t size = read(terminal_, bytes, sizeof(bytes));
      if (size <= 0) return false;
      screen_.append(bytes, static_cast<size_t>(size));
    }
  }
  // How the program ended, as waitpid says it.
  int status() {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    child_ = -1;
    return status;
  }

  Options options_;
  std::unique_ptr<Service> service_;
  testing::ScriptedBackend* backend_ = nullptr;
  std::unique_ptr<HttpServer> server_;
  int terminal_ = -1;
  pid_t child_ = -1;
  std::string screen_;
  size_t seen_ = 0;
};

TEST_F(ChatTerminal, RemembersLines) {
  ASSERT_TRUE(sees("> ")) << screen_;
  type("hello\r");
  ASSERT_TRUE(sees("The answer is 42.")) << screen_;
  ASSERT_TRUE(sees("> ")) << screen_;
  type("\x1b[A\r");  // the arrow up
  ASSERT_TRUE(sees("hello")) << screen_;
  ASSERT_TRUE(sees("The answer is 42.")) << screen_;
  ASSERT_EQ(backend_->requests().size(), 2U);
  type("/exit\r");
  EXPECT_EQ(status(), 0);
}

TEST_F(ChatTerminal, CtrlCStopsAReplyAndThenLeaves) {
  ASSERT_TRUE(sees("> ")) << screen_;
  type("endless\r");
  ASSERT_TRUE(sees("The answer is 42.")) << screen_;
  type("\x03");
  ASSERT_TRUE(sees("[stopped; /continue goes on")) << screen_;
  ASSERT_TRUE(sees("> ")) << screen_;
  type("\x03");
  EXPECT_EQ(WTERMSIG(status()), SIGINT);
}

}  // namespace
}  // namespace ft::server
