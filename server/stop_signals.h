// The signals that stop the server, taken by one thread, so that no handler interrupts anything.
#pragma once

#include <chrono>
#include <memory>

namespace ft::server {

inline constexpr int kExitImpatient = 130;  // a second stop signal came

// Takes SIGINT, SIGTERM and SIGHUP (but not a SIGHUP that was ignored at the start, as under nohup) from its
// construction to the end of the process: the first is reported, the second ends the process at once.
class StopSignals {
 public:
  // Blocks these signals in the calling thread and all threads made after it: construct it before there are
  // others. Ignores SIGPIPE and SIGXFSZ, whose writes report an error then.
  StopSignals();

  // True once a stop signal has come; waits for one at most `time`.
  bool wait(std::chrono::milliseconds time);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which outlives everything
};

}  // namespace ft::server
