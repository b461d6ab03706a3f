#include "server/api/response_store.h"

#include <utility>

namespace ft::server {
namespace {

// About what the tables need for an entry or an item besides its texts.
constexpr size_t kEntryBytes = 512;
constexpr size_t kItemBytes = 256;

}  // namespace

void ResponseStore::keep(const std::string& id, std::string json, ResponseHistory history,
                         std::vector<ResponseItem> input, std::vector<ResponseItem> output) {
  size_t bytes = 0;
  for (const auto* items : {&input, &output})
    for (const ResponseItem& item : *items) bytes += kItemBytes + item.id.size() + item.json.size();
  auto turn = std::make_shared<ResponseTurn>();
  turn->held = std::make_unique<HeldBytes>(held_, bytes);
  turn->input = std::move(input);
  turn->output = std::move(output);
  history.push_back(std::move(turn));
  const size_t own = kEntryBytes + json.size() + history.size() * sizeof(ResponseHistory::value_type);

  const std::lock_guard lock(mutex_);
  if (entries_.contains(id)) return;
  for (const ResponseItem& item : history.back()->output) replies_of_items_[item.id] = id;
  entries_.emplace(id, Entry{std::move(json), std::move(history), std::make_unique<HeldBytes>(held_, own),
                             order_.insert(order_.end(), id)});
  while (*held_ > bytes_max_ && !order_.empty()) erase(entries_.find(order_.front()));
}

void ResponseStore::erase(std::unordered_map<std::string, Entry>::iterator entry) {
  for (const ResponseItem& item : entry->second.history.back()->output) replies_of_items_.erase(item.id);
  order_.erase(entry->second.order);
  entries_.erase(entry);
}

std::optional<std::string> ResponseStore::json(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return std::nullopt;
  return found->second.json;
}

std::optional<ResponseHistory> ResponseStore::history(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return std::nullopt;
  return found->second.history;
}

std::optional<std::string> ResponseStore::item(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto reply = replies_of_items_.find(id);
  if (reply == replies_of_items_.end()) return std::nullopt;
  for (const ResponseItem& item : entries_.at(reply->second).history.back()->output)
    if (item.id == id) return item.json;
  return std::nullopt;
}

bool ResponseStore::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  erase(found);
  return true;
}

}  // namespace ft::server
