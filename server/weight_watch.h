// Looks from time to time whether the mapped weights of the served model are still what was loaded.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/mapped_file.h"

namespace ft::server {

class WeightWatch {
 public:
  explicit WeightWatch(std::vector<std::shared_ptr<const MappedFile>> files);

  // One system call per file. A message that names the file where one was written since it was mapped: the
  // model is not any more what clients were told. Files that were replaced or touched are logged once each.
  std::optional<std::string> check();

 private:
  struct Watched {
    std::shared_ptr<const MappedFile> file;
    FileChange known = FileChange::kNone;
  };
  std::vector<Watched> files_;
};

}  // namespace ft::server
