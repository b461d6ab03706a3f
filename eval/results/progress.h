// How far a long command is, and how long it will still take. A terminal sees one line that changes, a log a
// line per part.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace ft::eval {

// "[#####-----]  50 %  cell 3 of 6: dspark, T 1  1:02, about 1:00 left", `seconds` after the begin. `began`
// is what was done before, by a run that was interrupted: it took none of these seconds. Before anything is
// done no time is promised.
std::string progress_line(const std::string& label, double began, double done, double seconds);
// "0:07", "12:00", "1:02:03".
std::string duration_text(double seconds);

class Progress {
 public:
  // Writes to `out`; null: nowhere. Time is counted from here on.
  explicit Progress(std::FILE* out);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // What was done before this run began, of 1: the time left is judged by the rest alone.
  void resumed(double done) { began_ = done; }
  // `done` is of 1. Shown at most five times a second.
  void show(const std::string& label, double done);
  // A line that stays.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  void erase();

  std::FILE* out_;
  bool live_;
  double began_ = 0.0;
  Clock::time_point started_ = Clock::now();
  Clock::time_point shown_{};
  size_t width_ = 0;  // of the line that stands
};

}  // namespace ft::eval
