// The progress of a long computation: one line that is rewritten in place on a terminal, plain
// lines now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace osc::program {

class Progress {
 public:
  explicit Progress(bool silent = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows `line` where the last one was shown long enough ago: a tenth of a second on a terminal,
  // ten seconds elsewhere.
  void show(const std::string& line);
  // A line that stays.
  void say(const std::string& line);

 private:
  void clear();
  bool silent_;
  bool terminal_;
  bool line_open_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace osc::program
