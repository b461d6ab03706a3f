// TCP connections between ranks, whose waits end with an alarm or a limit.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace ft::ranks {

// Owns a file descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket();
  int descriptor() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// Called between two looks at a socket; throws to give up.
using Pause = std::function<void()>;

struct Listener {
  Socket socket;
  uint16_t port = 0;
};
// Listens on `port` (0: any) of every address of this host, or of the loopback alone. kUnavailable where that fails.
Result<Listener> listen_on(uint16_t port, bool loopback_only);
// The next connection; kUnavailable where none came for `limit`.
Result<Socket> accept_from(const Listener& listener, std::chrono::milliseconds limit, const Pause& pause);
// Connects to `host`, by name or address, and tries again until `limit`: the other side may start later.
Result<Socket> connect_to(const std::string& host, uint16_t port, std::chrono::milliseconds limit,
                          const Pause& pause);

// Whole blocks; false where the other side closed the connection or it broke.
bool send_all(const Socket& socket, const void* data, size_t bytes, const Pause& pause);
bool receive_all(const Socket& socket, void* data, size_t bytes, const Pause& pause);
// The first words of who has connected: false, too, where they take longer than five seconds. Who connects and says
// nothing is no rank.
bool receive_greeting(const Socket& socket, void* data, size_t bytes, const Pause& pause);

// The name of this host, and the IPv4 addresses that others may reach it by.
std::string host_name();
std::vector<std::string> host_addresses();

}  // namespace ft::ranks
