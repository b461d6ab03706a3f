// A server on the loopback interface that answers every connection with the same bytes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"

namespace ft::eval {

class CannedServer {
 public:
  // After reading a request it sends the pieces, `pause` apart, and closes. The first `loading` ones are answered
  // with 503.
  CannedServer(std::vector<std::string> pieces, std::chrono::milliseconds pause, int loading = 0)
      : pieces_(std::move(pieces)),
        pause_(pause),
        loading_(loading),
        listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    FT_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    FT_CHECK(listen(listener_, 64) == 0);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~CannedServer() {
    shutdown(listener_, SHUT_RDWR);
    close(listener_);
    thread_.join();
    for (std::thread& connection : connections_) connection.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int accepted() const { return accepted_; }

 private:
  void serve() {
    for (int connection; (connection = accept(listener_, nullptr, nullptr)) >= 0;) {
      const bool loads = accepted_++ < loading_;
      connections_.emplace_back(
          [this, connection, loads] { answer(connection, loads ? kLoading : pieces_); });
    }
  }
  void answer(int connection, const std::vector<std::string>& pieces) const {
    char buffer[8192];
    if (recv(connection, buffer, sizeof buffer, 0) > 0)
      for (const std::string& piece : pieces) {
        if (send(connection, piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;
        std::this_thread::sleep_for(pause_);
      }
    close(connection);
  }

  const std::vector<std::string> kLoading = {
      "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\nloading"};
  std::vector<std::string> pieces_;
  std::chrono::milliseconds pause_;
  int loading_;
  int listener_;
  int port_ = 0;
  std::atomic<int> accepted_{0};
  std::vector<std::thread> connections_;
  std::thread thread_;
};

}  // namespace ft::eval
