#include "server/weight_watch.h"

#include <fmt/format.h>

#include <utility>

#include "server/log.h"

namespace ft::server {

WeightWatch::WeightWatch(std::vector<std::shared_ptr<const MappedFile>> files) {
  for (auto& file : files) files_.push_back({std::move(file)});
}

std::optional<std::string> WeightWatch::check() {
  for (Watched& watched : files_) {
    const FileChange change = watched.file->change();
    const std::string& path = watched.file->path();
    if (change == FileChange::kWritten) {
      return fmt::format(
          "{}: was written while it is served. Replace weights by renaming another file over them", path);
    }
    if (change == std::exchange(watched.known, change) || change == FileChange::kNone) continue;
    if (change == FileChange::kReplaced) {
      log(LogLevel::kInfo, "{}: was replaced or removed; what was loaded is served until the next start",
          path);
    } else {
      log(LogLevel::kWarn,
          "{}: its owner, mode or links changed; if its bytes did too, replies are not to be "
          "trusted until the next start",
          path);
    }
  }
  return std::nullopt;
}

}  // namespace ft::server
