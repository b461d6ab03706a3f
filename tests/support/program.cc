#include "tests/support/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace ft::testing {

namespace {

constexpr std::chrono::milliseconds kPoll{5};
constexpr int kInput = 0;
constexpr int kOutput = 1;
constexpr int kErrors = 2;

// Calls `done` until it is true or `seconds` are over.
template <class Done>
bool poll_until(double seconds, Done done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace

Program::Program(const std::string& path, std::vector<std::string> arguments) {
  directory_.write("out", "");
  directory_.write("err", "");
  arguments.insert(arguments.begin(), path);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, kInput, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, kOutput, directory_.file("out").c_str(), O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, kErrors, directory_.file("err").c_str(), O_WRONLY | O_APPEND, 0);
  char* const no_variables[] = {nullptr};
  const int failed = posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), no_variables);
  posix_spawn_file_actions_destroy(&actions);
  FT_CHECK(failed == 0, path, failed);
}

Program::~Program() {
  if (ended()) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Program::signal(int number) const {
  kill(pid_, number);
}

bool Program::ended() {
  if (status_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return true;
}

bool Program::wait_for(const std::string& text, double seconds) {
  const auto has_come = [&] { return errors().find(text) != std::string::npos; };
  poll_until(seconds, [&] { return has_come() || ended(); });
  return has_come();
}

std::optional<int> Program::wait(double seconds) {
  poll_until(seconds, [&] { return ended(); });
  return status_;
}

uint16_t port_of(const Program& server) {
  const std::string log = server.errors();
  const size_t at = log.find("listening on http://");
  FT_CHECK(at != std::string::npos, log);
  const size_t colon = log.find(':', log.find("//", at));
  return static_cast<uint16_t>(std::atoi(log.c_str() + colon + 1));
}

}  // namespace ft::testing
