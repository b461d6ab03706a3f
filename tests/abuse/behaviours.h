// What one abuser does with one connection.
#pragma once

#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/abuse/connection.h"
#include "tests/abuse/framing_attacks.h"

namespace ft::abuse {

// What all abusers share: made once, since it is large.
struct Arsenal {
  explicit Arsenal(const Server& target, size_t body_bytes);

  Server server;
  std::vector<FramingAttack> framing;
  std::vector<std::string> bodies;      // large JSON that no prompt comes of
  std::vector<std::string_view> paths;  // of the prompts
  std::vector<std::string> prompts;     // large texts
};

class Visit {
 public:
  Visit(const net::any_io_executor& executor, const Arsenal& shared, std::mt19937_64& random)
      : connection(executor, shared.server.port), arsenal(shared), random_(random) {}

  Connection connection;
  const Arsenal& arsenal;

  int64_t number(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  bool chance(double share) { return std::uniform_real_distribution<>(0, 1)(random_) < share; }
  template <class List>
  const auto& one_of(const List& list) {
    return list[static_cast<size_t>(number(0, static_cast<int64_t>(std::size(list)) - 1))];
  }
  milliseconds moment(int64_t most_ms) { return milliseconds(number(0, most_ms)); }
  // A small request for a reply, of any shape.
  std::string small_request();
  // Ends the connection in one of the ways there are.
  void leave();

 private:
  std::mt19937_64& random_;
};

struct Behaviour {
  std::string name;
  int weight;   // how often it is chosen
  int at_once;  // how many may do it at a time
  // The status of the response; 0 where there was none, or nobody waited for it.
  std::function<net::awaitable<int>(Visit&)> act;
};

const std::vector<Behaviour>& behaviours();

}  // namespace ft::abuse
