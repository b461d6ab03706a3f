// A program that runs beside a test: started with arguments, sent signals, its output read from files.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace ft::testing {

class Program {
 public:
  // Starts `path`. Its stdin is empty; its stdout and stderr are read with the functions below.
  explicit Program(const std::string& path, std::vector<std::string> arguments);
  // Ends it where it still runs.
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  std::string output() const { return file_bytes(directory_.file("out")); }
  std::string errors() const { return file_bytes(directory_.file("err")); }
  void signal(int number) const;
  // Whether `text` comes in its stderr before it ends and within `seconds`.
  bool wait_for(const std::string& text, double seconds = 60);
  // Its exit code, or minus the signal that ended it; nothing where it still runs after `seconds`.
  std::optional<int> wait(double seconds = 60);

 private:
  bool ended();

  TempDir directory_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

// The port in "listening on http://HOST:PORT" of a server's log.
uint16_t port_of(const Program& server);

}  // namespace ft::testing
