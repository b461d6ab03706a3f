#include "server/stop_signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/check.h"

namespace ft::server {

struct StopSignals::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopped = false;
};

StopSignals::StopSignals() : state_(std::make_shared<State>()) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  // A blocked signal is queued even where it is ignored.
  if (hangup.sa_handler != SIG_IGN) sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  // A descriptor rather than sigwait, which unblocks the signals as long as it waits.
  const int queue = signalfd(-1, &signals, SFD_CLOEXEC);
  FT_CHECK(queue >= 0, errno);
  // Detached: it has nothing to release, and a second signal is to end the process whatever else is stuck.
  std::thread([queue, state = state_] {
    for (;;) {
      signalfd_siginfo taken;
      if (read(queue, &taken, sizeof(taken)) != sizeof(taken)) continue;
      const std::lock_guard lock(state->mutex);
      if (state->stopped) _exit(kExitImpatient);
      state->stopped = true;
      state->changed.notify_all();
    }
  }).detach();
}

bool StopSignals::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, time, [this] { return state_->stopped; });
}

}  // namespace ft::server
