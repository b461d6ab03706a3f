// Many abusers at once, on one thread of low priority: as soon as one has left, another comes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/abuse/behaviours.h"

namespace ft::abuse {

class Crowd {
 public:
  // Visits by behaviour and status.
  using Tally = std::map<std::string, std::map<int, int64_t>>;

  struct Options {
    int connections = 1000;
    uint64_t seed = 1;
    std::vector<std::string> behaviours;  // by name; empty = all
  };

  Crowd(const Arsenal& arsenal, const Options& options);
  // As stop().
  ~Crowd();

  // Everybody leaves at once, whatever they were doing.
  Tally stop();

 private:
  net::awaitable<void> abuser();
  std::optional<size_t> choose();

  const Arsenal& arsenal_;
  std::mt19937_64 random_;
  std::discrete_distribution<size_t> weights_;
  std::vector<int> busy_;  // abusers by behaviour
  Tally tally_;
  std::unique_ptr<net::io_context> context_;
  std::thread thread_;
};

}  // namespace ft::abuse
