// Replies of /v1/responses that later requests may refer to, within a bound of memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace ft::server {

// Bytes that count in a sum as long as this lives.
class HeldBytes {
 public:
  HeldBytes(std::shared_ptr<std::atomic<size_t>> sum, size_t bytes) : sum_(std::move(sum)), bytes_(bytes) {
    *sum_ += bytes_;
  }
  ~HeldBytes() { *sum_ -= bytes_; }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

 private:
  const std::shared_ptr<std::atomic<size_t>> sum_;
  const size_t bytes_;
};

struct ResponseItem {
  std::string id;
  std::string json;  // has the id too
};

// One request and its reply. It lives, and counts, as long as a reply that continues it is kept.
struct ResponseTurn {
  std::vector<ResponseItem> input;
  std::vector<ResponseItem> output;
  std::unique_ptr<HeldBytes> held;
};

// The turns of a conversation, oldest first.
using ResponseHistory = std::vector<std::shared_ptr<const ResponseTurn>>;

// Any thread.
class ResponseStore {
 public:
  // Where all that is kept is larger than `bytes_max`, the oldest replies go; 0 keeps none.
  explicit ResponseStore(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Keeps a reply: `json` is what retrieving it shows, `history` the turns that it continued.
  void keep(const std::string& id, std::string json, ResponseHistory history, std::vector<ResponseItem> input,
            std::vector<ResponseItem> output);

  std::optional<std::string> json(const std::string& id) const;
  // The conversation up to and with this reply.
  std::optional<ResponseHistory> history(const std::string& id) const;
  // An item of the output of any reply that is kept, as JSON.
  std::optional<std::string> item(const std::string& id) const;
  // False when there is none.
  bool remove(const std::string& id);

  size_t bytes() const { return *held_; }

 private:
  struct Entry {
    std::string json;
    ResponseHistory history;  // its own turn is the last
    std::unique_ptr<HeldBytes> held;
    std::list<std::string>::iterator order;
  };

  void erase(std::unordered_map<std::string, Entry>::iterator entry);

  const size_t bytes_max_;
  const std::shared_ptr<std::atomic<size_t>> held_ = std::make_shared<std::atomic<size_t>>(0);
  mutable std::mutex mutex_;  // of all below
  std::unordered_map<std::string, Entry> entries_;
  std::unordered_map<std::string, std::string> replies_of_items_;
  std::list<std::string> order_;  // ids, oldest first
};

}  // namespace ft::server
