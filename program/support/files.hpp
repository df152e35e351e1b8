// Files that are read and written whole, and the rule that no output replaces an input.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace osc::program {

// What read_file reads at most unless told otherwise.
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{4} << 30;

// The whole file. Throws UserError "PATH: reason" where it cannot be read, is larger than
// `max_bytes`, or is a folder, a pipe, a device or a socket: reading those might never end.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxFileBytes);

// A file that appears under its name only when it is complete. Bytes go to a temporary file in the
// same folder, which commit() flushes to the disk and renames to `path`. Without commit() the
// temporary is removed and `path` is unchanged. A symbolic link is followed, not replaced. A
// device, or a pipe that has a reader, is written directly. All members but the destructor throw
// UserError "PATH: reason".
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);
  void commit();

 private:
  [[noreturn]] void fail(int error) const;

  std::filesystem::path path_;       // as the user named it, for messages
  std::filesystem::path target_;     // behind symbolic links
  std::filesystem::path temporary_;  // empty while there is none
  int descriptor_ = -1;
};

// An AtomicFile with these bytes, committed.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// Removes the temporaries of `path` that killed processes left: those of processes that no longer
// run, and those of this process's own id, which containers reuse. Call it before writing `path`.
void remove_abandoned_temporaries(const std::filesystem::path& path);

// Writes one of many files, whose folder the caller removes after a failure: without a temporary
// and without a flush. Throws UserError "PATH: reason" where `path` exists, and where the file
// could not be written, which then is removed.
void write_new_file(const std::filesystem::path& path, std::string_view bytes);

// Creates the folder and its parents. Throws UserError where that fails or where `path` is a file.
void create_folder(const std::filesystem::path& path);

// A file that a command will write.
struct Output {
  std::string what;  // in the user's words: "--grad g.npy", "the slots of a.png"
  std::filesystem::path path;
};

// Throws UserError where an output is one of the inputs or another output. Files are compared, not
// names: symbolic and hard links and other paths to the same file are recognised. A path that is no
// regular file, such as /dev/null, may be given twice.
void check_outputs(const std::vector<Output>& outputs,
                   const std::vector<std::filesystem::path>& inputs);

}  // namespace osc::program
