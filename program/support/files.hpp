// Reading and writing whole files, so that a crash or a full disk never leaves half of one behind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace osc::program {

// What read_file reads at most unless told otherwise.
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{4} << 30;

// The whole file. Throws UserError "PATH: reason" with the system's reason, or where the path holds
// more than `max_bytes`, or is something else than a file: a folder; or a pipe, a device or a
// socket, whose far end may keep a reader waiting, or have no end.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxFileBytes);

// A file that appears under its name only when it is complete: bytes go to a temporary file in the
// same folder, which commit() flushes to the disk and renames over `path`. Without commit() the
// temporary is removed and what stood at `path` stays as it was. A symbolic link is followed, not
// replaced; a device, or a pipe that has a reader, is written directly. All but the destructor
// throw UserError "PATH: reason".
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

// Removes the temporaries that AtomicFiles of `path` left beside it in processes that were killed:
// of processes that no longer live, and of this one's number, which a container gives to each
// process anew. Called before this process writes `path`.
void remove_abandoned_temporaries(const std::filesystem::path& path);

// For one of very many files whose folder is removed as a whole when anything fails: no temporary,
// no wait for the disk. Throws UserError "PATH: reason" where something stands at `path`, or after
// removing the file where it could not be written whole.
void write_new_file(const std::filesystem::path& path, std::string_view bytes);

// Creates the folder and its parents. Throws UserError where that fails or where `path` is a file.
void create_folder(const std::filesystem::path& path);

}  // namespace osc::program
