#include "tests/abuse/crowd.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

namespace ft::abuse {

Crowd::Crowd(const Arsenal& arsenal, const Options& options)
    : arsenal_(arsenal), random_(options.seed), busy_(behaviours().size(), 0) {
  std::vector<double> weights;
  for (const Behaviour& behaviour : behaviours()) {
    const auto& wanted = options.behaviours;
    const bool chosen =
        wanted.empty() || std::find(wanted.begin(), wanted.end(), behaviour.name) != wanted.end();
    weights.push_back(chosen ? behaviour.weight : 0);
  }
  weights_ = std::discrete_distribution<size_t>(weights.begin(), weights.end());
  context_ = std::make_unique<net::io_context>(1);
  for (int i = 0; i < options.connections; ++i) net::co_spawn(*context_, abuser(), net::detached);
  thread_ = std::thread([this] {
    // The clients that are watched run on the same machine.
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
    context_->run();
  });
}

Crowd::~Crowd() {
  stop();
}

Crowd::Tally Crowd::stop() {
  if (context_ != nullptr) {
    context_->stop();
    thread_.join();
    context_.reset();  // and with it what everybody was doing, and their connections
  }
  return tally_;
}

// Nothing where enough are at it already.
std::optional<size_t> Crowd::choose() {
  const size_t chosen = weights_(random_);
  if (busy_[chosen] >= behaviours()[chosen].at_once) return std::nullopt;
  return chosen;
}

net::awaitable<void> Crowd::abuser() {
  const net::any_io_executor executor = co_await net::this_coro::executor;
  for (;;) {
    Visit visit(executor, arsenal_, random_);
    const std::optional<size_t> chosen = choose();
    if (!chosen) {
      co_await visit.connection.pause(milliseconds(50));
      continue;
    }
    const Behaviour& behaviour = behaviours()[*chosen];
    ++busy_[*chosen];
    const bool open = co_await visit.connection.open(visit.chance(0.3) ? 4096 : 0);
    if (open) {
      const int status = co_await behaviour.act(visit);
      ++tally_[behaviour.name][status];
    } else {
      ++tally_["cannot connect"][0];
      co_await visit.connection.pause(milliseconds(100));
    }
    --busy_[*chosen];
  }
}

}  // namespace ft::abuse
