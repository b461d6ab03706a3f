// A client that is a bare socket, so that tests can hang up, stall and pipeline as they like.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace ft::server::testing {

struct RawResponse {
  int status = 0;  // 0: there was none
  std::string head;
  std::string body;  // chunks put together
  bool complete = false;
};

class RawClient {
 public:
  // `receive_buffer` > 0 makes the kernel hold few bytes for a client that does not read.
  explicit RawClient(uint16_t port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  bool post(const std::string& path, const std::string& body, const std::string& more_headers = "") {
    return send("POST " + path +
                " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n" + more_headers + "\r\n" + body);
  }
  bool get(const std::string& path) { return send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); }

  // Reads more into the buffer. False at the end of the stream, on an error or after `timeout_ms`.
  bool read_more(int timeout_ms = 5000) {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, timeout_ms) <= 0) return false;
    char bytes[65536];
    const ssize_t size = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }
  // Until `text` has come.
  bool read_until(std::string_view text, int timeout_ms = 5000) {
    while (buffer_.find(text) == std::string::npos) {
      if (!read_more(timeout_ms)) return false;
    }
    return true;
  }
  // Whether the server has closed: nothing more comes.
  bool at_end(int timeout_ms = 5000) {
    while (read_more(timeout_ms)) {
    }
    pollfd waiting{socket_, POLLIN, 0};
    char byte = 0;
    return ::poll(&waiting, 1, 0) > 0 && ::recv(socket_, &byte, 1, MSG_PEEK) <= 0;
  }
  const std::string& buffered() const { return buffer_; }

  // The next response, leaving what follows it.
  RawResponse read_response(int timeout_ms = 5000) {
    RawResponse response;
    if (!read_until("\r\n\r\n", timeout_ms)) return response;
    const size_t end = buffer_.find("\r\n\r\n") + 4;
    response.head = buffer_.substr(0, end);
    buffer_.erase(0, end);
    response.status = std::atoi(response.head.substr(9, 3).c_str());
    if (response.head.find("Transfer-Encoding: chunked") != std::string::npos) {
      response.complete = read_chunks(response.body, timeout_ms);
      return response;
    }
    const size_t at = response.head.find("Content-Length: ");
    if (at == std::string::npos) {
      response.complete = true;
      return response;
    }
    const size_t length = std::strtoul(response.head.c_str() + at + 16, nullptr, 10);
    while (buffer_.size() < length && read_more(timeout_ms)) {
    }
    response.complete = buffer_.size() >= length;
    response.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return response;
  }

  // Closes in the usual way.
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  // Closes with a reset.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close();
  }
  // Says that no more will be sent, and stays.
  void half_close() { ::shutdown(socket_, SHUT_WR); }

 private:
  bool read_chunks(std::string& body, int timeout_ms) {
    for (;;) {
      if (!read_until("\r\n", timeout_ms)) return false;
      const size_t line = buffer_.find("\r\n");
      const size_t size = std::strtoul(buffer_.c_str(), nullptr, 16);
      while (buffer_.size() < line + 2 + size + 2) {
        if (!read_more(timeout_ms)) return false;
      }
      body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  int socket_;
  bool connected_ = false;
  std::string buffer_;
};

}  // namespace ft::server::testing
