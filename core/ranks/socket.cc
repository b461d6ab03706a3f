#include "core/ranks/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <thread>

namespace ft::ranks {

namespace {

using Clock = std::chrono::steady_clock;

// Between two looks at an alarm while a socket has nothing to say.
constexpr int kLookMs = 20;
constexpr std::chrono::milliseconds kBetweenTries{50};
constexpr int kBacklog = 16;

std::string system_text(int error) {
  return std::generic_category().message(error);
}

void tune(int descriptor) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

bool ready(int descriptor, short events) {
  pollfd one{descriptor, events, 0};
  return poll(&one, 1, kLookMs) > 0;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

}  // namespace

Socket::~Socket() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<Listener> listen_on(uint16_t port, bool loopback_only) {
  Listener listener{Socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), port};
  const int on = 1;
  const int descriptor = listener.socket.descriptor();
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(loopback_only ? INADDR_LOOPBACK : INADDR_ANY);
  socklen_t size = sizeof(address);
  if (bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(descriptor, kBacklog) != 0 ||
      getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail(ErrorCode::kUnavailable, "rank 0 cannot listen for the other ranks on port {}: {}", port,
                system_text(errno));
  listener.port = ntohs(address.sin_port);
  tune(descriptor);
  return listener;
}

Result<Socket> accept_from(const Listener& listener, std::chrono::milliseconds limit, const Pause& pause) {
  for (const auto end = Clock::now() + limit; Clock::now() < end; pause()) {
    if (!ready(listener.socket.descriptor(), POLLIN)) continue;
    Socket accepted(accept4(listener.socket.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted) continue;
    tune(accepted.descriptor());
    return accepted;
  }
  return fail(ErrorCode::kUnavailable, "no connection came within {} s", limit.count() / 1000);
}

Result<Socket> connect_to(const std::string& host, uint16_t port, std::chrono::milliseconds limit,
                          const Pause& pause) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  std::string problem;
  const auto end = Clock::now() + limit;
  do {
    addrinfo* found = nullptr;
    if (const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0) {
      problem = gai_strerror(code);
    } else {
      const std::unique_ptr<addrinfo, FreeAddresses> list(found);
      Socket made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      tune(made.descriptor());
      int error = connect(made.descriptor(), found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
      while (error == EINPROGRESS && Clock::now() < end) {
        pause();
        if (!ready(made.descriptor(), POLLOUT)) continue;
        socklen_t size = sizeof(error);
        getsockopt(made.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
      }
      if (error == 0) return made;
      problem = system_text(error);
    }
    pause();
    std::this_thread::sleep_for(kBetweenTries);
  } while (Clock::now() < end);
  return fail(ErrorCode::kUnavailable, "cannot connect to {}:{}: {}", host, port, problem);
}

bool send_all(const Socket& socket, const void* data, size_t bytes, const Pause& pause) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = send(socket.descriptor(), at, bytes, MSG_NOSIGNAL);
    if (sent > 0) {
      at += sent;
      bytes -= static_cast<size_t>(sent);
    } else if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (!ready(socket.descriptor(), POLLOUT)) pause();
    } else {
      return false;
    }
  }
  return true;
}

bool receive_all(const Socket& socket, void* data, size_t bytes, const Pause& pause) {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = recv(socket.descriptor(), at, bytes, 0);
    if (got > 0) {
      at += got;
      bytes -= static_cast<size_t>(got);
    } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (!ready(socket.descriptor(), POLLIN)) pause();
    } else {
      return false;
    }
  }
  return true;
}

bool receive_greeting(const Socket& socket, void* data, size_t bytes, const Pause& pause) {
  constexpr std::chrono::seconds kGreetWithin{5};
  const auto end = std::chrono::steady_clock::now() + kGreetWithin;
  struct Late {};
  try {
    return receive_all(socket, data, bytes, [&] {
      pause();
      if (std::chrono::steady_clock::now() > end) throw Late();
    });
  } catch (const Late&) {
    return false;
  }
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::vector<std::string> host_addresses() {
  std::vector<std::string> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
    if (ntohl(address->sin_addr.s_addr) >> 24 == 127) continue;
    if (inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size()) != nullptr)
      addresses.push_back(text.data());
  }
  freeifaddrs(list);
  return addresses;
}

}  // namespace ft::ranks
