// Well-behaved clients: each streams fixed questions in turn, and every reply must be the one that the same
// question got from an otherwise idle server.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/abuse/connection.h"

namespace ft::abuse {

// What a client got, without what differs between two runs (ids, times, cached tokens).
struct StreamedReply {
  int status = 0;  // 0: it broke off
  std::string text;
  std::string finish_reason;
  std::string usage;
  double first_ms = 0;  // to the first event
  double gap_ms = 0;    // longest between two events

  bool same_answer(const StreamedReply& other) const {
    return text == other.text && finish_reason == other.finish_reason && usage == other.usage;
  }
};

class CleanClients {
 public:
  struct Seen {
    int64_t replies = 0;
    std::vector<std::string> wrong;  // what differed from the solo run, or broke off
    std::map<int, int64_t> refused;  // by status; after 429 a client tries again
    double gap_ms = 0;
    double first_ms = 0;
    // Clients that got no reply.
    int idle = 0;
  };

  explicit CleanClients(Server server);
  ~CleanClients();

  // Asks every question alone and keeps the replies. What went wrong, "" where nothing did.
  std::string run_solo();
  double solo_gap_ms() const { return solo_gap_ms_; }

  void start(int clients);
  // Lets every client finish its reply; what they saw since start().
  Seen stop();
  // What they have seen of gaps since the last call.
  double take_gap_ms();

 private:
  net::awaitable<StreamedReply> ask(Connection& connection, const std::string& body);
  net::awaitable<void> solo(std::string& failure);
  net::awaitable<void> live(int client);

  Server server_;
  std::vector<StreamedReply> solo_;  // by question
  double solo_gap_ms_ = 0;
  net::io_context context_{1};
  std::thread thread_;
  bool stopping_ = false;
  std::mutex mutex_;  // of all that follows
  std::vector<int64_t> replies_;
  Seen seen_;
  double gap_ms_ = 0;
};

}  // namespace ft::abuse
