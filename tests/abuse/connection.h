// A client's connection for many clients on one thread: coroutines over a socket, each operation with a time
// limit.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ft::abuse {

namespace net = boost::asio;
using Clock = std::chrono::steady_clock;
using Time = Clock::duration;
using std::chrono::milliseconds;

// Who is talked to: 127.0.0.1:port, with a key where the server has one.
struct Server {
  uint16_t port = 0;
  std::string key;
};

// A request head up to and with the empty line. `more` are whole lines. Names the host that a loopback server
// answers to, the key, and a JSON body of `length` bytes.
std::string post_head(const Server& server, std::string_view path, size_t length, std::string_view more = {});
// The same with the body.
std::string post(const Server& server, std::string_view path, std::string_view body,
                 std::string_view more = {});
std::string get(const Server& server, std::string_view path);

struct ResponseHead {
  int status = 0;
  bool chunked = false;
  std::optional<uint64_t> length;
  bool closes = false;
};

class Connection {
 public:
  Connection(const net::any_io_executor& executor, uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // `receive_buffer` > 0 makes the kernel hold few bytes for a client that does not read.
  net::awaitable<bool> open(int receive_buffer = 0);
  bool is_open() const;

  // False when the server closed, or after `limit`, of which each piece that is sent has its own.
  net::awaitable<bool> send(std::string_view bytes, Time limit = std::chrono::seconds(30));
  // Reads at most `most` bytes behind those that are there. False at the end, on an error or after `limit`.
  net::awaitable<bool> read_more(Time limit, size_t most = 65536);
  // Reads and drops until the end, an error, or `silence` without a byte; `limit` at most.
  net::awaitable<void> read_to_end(Time silence, Time limit);
  // Bytes that were read and not taken.
  std::string& buffered() { return buffer_; }

  // The next response's head, without the body; status 0 when none comes.
  net::awaitable<ResponseHead> read_head(Time limit);
  // The next part of the body that `head` announced, "" at its end, nothing when it breaks off.
  net::awaitable<std::optional<std::string>> read_part(ResponseHead& head, Time limit);
  // A head and its body, which is dropped; status 0 when the response breaks off.
  net::awaitable<int> read_response(Time limit);

  net::awaitable<void> pause(Time time);

  void close();
  void reset();       // closes so that the other side gets an error
  void half_close();  // says that no more will be sent, and stays

 private:
  struct State;
  // Reads until the bytes that are there hold `text`; where. npos when it does not come.
  net::awaitable<size_t> read_until(std::string_view text, Time limit);
  // Cancels what the socket does after `limit`, unless end_limit() comes first.
  void begin_limit(Time limit);
  void end_limit();

  std::shared_ptr<State> state_;
  uint16_t port_;
  std::string buffer_;
};

}  // namespace ft::abuse
