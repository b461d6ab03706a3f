// Clients of a server on this machine: connections that each read one streamed reply, all of them on one thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/error.h"

namespace ft::eval {

class StreamClients {
 public:
  using Clock = std::chrono::steady_clock;
  // Called on the reading thread for each server-sent event of each connection, counted from 0.
  using OnEvent = std::function<void(size_t connection, int64_t event, Clock::time_point arrived)>;

  // Opens `count` connections to 127.0.0.1 and begins to read. kUnavailable where that fails.
  static Result<std::unique_ptr<StreamClients>> open(uint16_t port, size_t count, OnEvent on_event);
  ~StreamClients();
  StreamClients(const StreamClients&) = delete;
  StreamClients& operator=(const StreamClients&) = delete;

  // Sends the same bytes on every connection.
  Result<void> send(std::string_view request);
  // Until every connection has had `events` events since the beginning. kUnavailable, with what the server said, when
  // a reply is no stream, or ends or stalls before.
  Result<void> wait_for(int64_t events);
  // Processor time of the reading thread so far.
  double cpu_seconds() const;

 private:
  struct Connection {
    int socket = -1;
    int64_t events = 0;
    bool newline = false;  // the last byte was one: an event ends with two
    std::string head;      // the reply until its first event has come
  };

  StreamClients(std::vector<Connection> connections, int poll, int stop, OnEvent on_event);
  void read_all();
  // False when nothing more comes.
  bool read_some(size_t index, std::vector<char>& bytes);
  void fail_with(const std::string& why);

  std::vector<Connection> connections_;
  const int poll_;
  const int stop_;  // an eventfd that ends the reading thread
  const OnEvent on_event_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  int64_t wanted_ = 0;
  size_t complete_ = 0;  // connections that have had `wanted_` events
  std::string failure_;
  std::thread thread_;
};

}  // namespace ft::eval
