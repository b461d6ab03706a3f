#include "eval/stream_clients.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

namespace ft::eval {

namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr std::string_view kFine = "HTTP/1.1 200 ";
constexpr std::chrono::seconds kStall{30};  // nothing comes any more

int connect_to(uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return socket;
  ::close(socket);
  return -1;
}

void watch(int poll, int descriptor, uint64_t data) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = data;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
}

}  // namespace

Result<std::unique_ptr<StreamClients>> StreamClients::open(uint16_t port, size_t count, OnEvent on_event) {
  std::vector<Connection> connections(count);
  for (Connection& connection : connections) {
    connection.socket = connect_to(port);
    if (connection.socket >= 0) continue;
    const int error = errno;
    for (const Connection& opened : connections)
      if (opened.socket >= 0) ::close(opened.socket);
    return fail(ErrorCode::kUnavailable, "cannot connect to 127.0.0.1:{}: {}", port, std::strerror(error));
  }
  return std::unique_ptr<StreamClients>(new StreamClients(std::move(connections),
                                                          ::epoll_create1(EPOLL_CLOEXEC),
                                                          ::eventfd(0, EFD_CLOEXEC), std::move(on_event)));
}

StreamClients::StreamClients(std::vector<Connection> connections, int poll, int stop, OnEvent on_event)
    : connections_(std::move(connections)), poll_(poll), stop_(stop), on_event_(std::move(on_event)) {
  for (size_t i = 0; i < connections_.size(); ++i) watch(poll_, connections_[i].socket, i);
  watch(poll_, stop_, connections_.size());
  thread_ = std::thread([this] { read_all(); });
}

StreamClients::~StreamClients() {
  ::eventfd_write(stop_, 1);
  thread_.join();
  for (const Connection& connection : connections_) ::close(connection.socket);
  ::close(poll_);
  ::close(stop_);
}

Result<void> StreamClients::send(std::string_view request) {
  for (const Connection& connection : connections_) {
    for (std::string_view rest = request; !rest.empty();) {
      const ssize_t sent = ::send(connection.socket, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0)
        return fail(ErrorCode::kUnavailable, "the server does not take the request: {}",
                    std::strerror(errno));
      rest.remove_prefix(static_cast<size_t>(sent));
    }
  }
  return {};
}

Result<void> StreamClients::wait_for(int64_t events) {
  std::unique_lock lock(mutex_);
  wanted_ = events;
  complete_ = static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                [&](const Connection& c) { return c.events >= events; }));
  const bool done =
      changed_.wait_for(lock, kStall, [&] { return complete_ == connections_.size() || !failure_.empty(); });
  if (complete_ == connections_.size()) return {};
  if (!failure_.empty()) return fail(ErrorCode::kUnavailable, "{}", failure_);
  if (!done)
    return fail(ErrorCode::kUnavailable, "after {} s only {} of {} streams have had {} events",
                kStall.count(), complete_, connections_.size(), events);
  return {};
}

double StreamClients::cpu_seconds() const {
  clockid_t clock{};
  timespec time{};
  // The handle is not const because a thread could be joined with it.
  if (::pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) != 0) return 0.0;
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void StreamClients::fail_with(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = why;
  changed_.notify_all();
}

void StreamClients::read_all() {
  std::array<epoll_event, 64> ready{};
  std::vector<char> bytes(kReadBytes);
  for (;;) {
    const int count = ::epoll_wait(poll_, ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < count; ++i) {
      const size_t index = ready[static_cast<size_t>(i)].data.u64;
      if (index == connections_.size()) return;
      if (!read_some(index, bytes)) {
        ::epoll_ctl(poll_, EPOLL_CTL_DEL, connections_[index].socket, nullptr);
        fail_with("a reply ended early: " + connections_[index].head.substr(0, 500));
      }
    }
  }
}

bool StreamClients::read_some(size_t index, std::vector<char>& bytes) {
  Connection& connection = connections_[index];
  const ssize_t size = ::recv(connection.socket, bytes.data(), bytes.size(), 0);
  if (size <= 0) return false;
  const auto arrived = Clock::now();
  if (connection.events == 0) connection.head.append(bytes.data(), static_cast<size_t>(size));
  if (connection.events == 0 && connection.head.size() >= kFine.size() && !connection.head.starts_with(kFine))
    fail_with("a request was refused: " + connection.head);
  int64_t found = 0;
  for (const char c : std::string_view(bytes.data(), static_cast<size_t>(size))) {
    if (c == '\n' && connection.newline) on_event_(index, connection.events + found++, arrived);
    connection.newline = c == '\n' && !connection.newline;
  }
  const std::lock_guard lock(mutex_);
  const bool was_complete = connection.events >= wanted_;
  connection.events += found;
  if (!was_complete && connection.events >= wanted_ && ++complete_ == connections_.size())
    changed_.notify_all();
  return true;
}

}  // namespace ft::eval
