#include "support/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <compare>
#include <csignal>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_system_error(const fs::path& path, int error) {
  throw UserError(path.string() + ": " + std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

[[noreturn]] void throw_no_file(const fs::path& path, const char* kind) {
  throw UserError(path.string() + ": is a " + kind + ", not a file");
}

// Opens a regular file for reading. Without O_NONBLOCK, opening a pipe waits for its writer.
int open_regular(const fs::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) {
    if (errno == ENXIO) throw_no_file(path, "socket");
    throw_system_error(path, errno);
  }
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_system_error(path, errno);
  switch (status.st_mode & S_IFMT) {
    case S_IFREG: return file.release();
    case S_IFDIR: throw_no_file(path, "folder");
    case S_IFIFO: throw_no_file(path, "pipe");
    default: throw_no_file(path, "device");
  }
}

// A temporary is named .NAME.PROCESS-COUNTER.tmp, beside the file NAME.
std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().string() + ".";
}

// The process that made the temporary of `target` with this name; 0 for any other file.
pid_t maker_of_temporary(const std::string& name, const fs::path& target) {
  static const std::regex kRest("([1-9][0-9]{0,8})-[0-9]{1,18}\\.tmp");
  const std::string prefix = temporary_prefix(target);
  std::smatch parts;
  if (!name.starts_with(prefix)) return 0;
  const std::string rest = name.substr(prefix.size());
  return std::regex_match(rest, parts, kRest) ? static_cast<pid_t>(std::stoi(parts[1])) : 0;
}

bool lives(pid_t process) { return ::kill(process, 0) == 0 || errno != ESRCH; }

// Returns 0, or the error's number.
int write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

// File systems without fsync answer EINVAL; the data is as safe there as it gets.
int flush(int descriptor) { return ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno; }

// A rename survives a power cut only when its folder is flushed too. Not every file system allows
// it, and the file is whole either way.
void flush_folder(const fs::path& folder) {
  const Descriptor opened(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.get() >= 0) ::fsync(opened.get());
}

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t max_bytes) {
  const Descriptor file(open_regular(path));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw_system_error(path, errno);
  const auto too_large = [&] {
    return UserError(path.string() + ": is larger than " + std::to_string(max_bytes) + " bytes");
  };
  // The size is a hint: the files of /proc have none, and a file may grow while it is read.
  const auto expected = static_cast<std::uint64_t>(status.st_size);
  if (expected > max_bytes) throw too_large();

  std::string bytes;
  std::size_t used = 0;
  constexpr std::size_t kLeastRoom = 4096;
  bytes.resize(static_cast<std::size_t>(expected) +
               1);  // one more, so that the end is met without growing
  for (;;) {
    if (used == bytes.size()) bytes.resize(std::max(bytes.size() * 2, kLeastRoom));
    const ssize_t count = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0) {
      if (errno == EINTR) continue;
      throw_system_error(path, errno);
    }
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
    if (used > max_bytes) throw too_large();
  }
  bytes.resize(used);
  return bytes;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), target_(path_) {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  if (fs::is_directory(status)) throw_no_file(path_, "folder");
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    // A pipe without a reader is an error and not waited for; what is written may wait again.
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor_ < 0 && errno == ENXIO)
      throw UserError(path_.string() + ": is a pipe without a reader, or a socket");
    if (descriptor_ < 0 || ::fcntl(descriptor_, F_SETFL, 0) != 0) fail(errno);
    return;
  }
  if (fs::exists(status)) {
    target_ = fs::canonical(path_, error);
    if (error) fail(error.value());
  }
  static std::atomic<unsigned> counter{0};
  do {  // a process that was killed may have left a temporary under the same number
    std::string name = temporary_prefix(target_);
    name += std::to_string(::getpid()) + "-" + std::to_string(counter++);
    temporary_ = target_.parent_path() / name.append(".tmp");
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail(errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(int error) const { throw_system_error(path_, error); }

void AtomicFile::write(std::string_view bytes) {
  if (const int error = write_all(descriptor_, bytes)) fail(error);
}

void AtomicFile::commit() {
  if (!temporary_.empty()) {
    if (const int error = flush(descriptor_)) fail(error);
  }
  // Network file systems may report a failed write only here.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail(errno);
  if (!temporary_.empty()) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
    temporary_.clear();
    flush_folder(target_.parent_path());
  }
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void remove_abandoned_temporaries(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> abandoned;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const pid_t maker = maker_of_temporary(entry->path().filename().string(), path);
    if (maker > 0 && (maker == ::getpid() || !lives(maker))) abandoned.push_back(entry->path());
  }
  for (const fs::path& file : abandoned)
    ::unlink(file.c_str());  // where it cannot, it is in no way
}

void write_new_file(const fs::path& path, std::string_view bytes) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) throw_system_error(path, errno);
  int error = write_all(file.get(), bytes);
  if (::close(file.release()) != 0 && error == 0 && errno != EINTR) error = errno;
  if (error != 0) {
    ::unlink(path.c_str());
    throw_system_error(path, error);
  }
}

void create_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw_system_error(path, error.value());
  if (!fs::is_directory(path, error)) throw UserError(path.string() + ": is a file, not a folder");
}

namespace {

// The file that a path leads to, or will lead to once it is written.
struct Identity {
  dev_t device = 0;
  ino_t number = 0;  // of the file, or of the folder that it will be in
  std::string name;  // in that folder, or the whole path where there is no folder yet
  auto operator<=>(const Identity&) const = default;
};

// Nothing for what is no regular file.
std::optional<Identity> identity_of(const fs::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISREG(status.st_mode)) return std::nullopt;
    return Identity{status.st_dev, status.st_ino, {}};
  }
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (::stat(folder.c_str(), &status) == 0)
    return Identity{status.st_dev, status.st_ino, path.filename().string()};
  std::error_code ignored;
  return Identity{0, 0, fs::absolute(path, ignored).lexically_normal().string()};
}

}  // namespace

void check_outputs(const std::vector<Output>& outputs, const std::vector<fs::path>& inputs) {
  std::map<Identity, const Output*> written;
  for (const Output& output : outputs) {
    const std::optional<Identity> identity = identity_of(output.path);
    if (!identity) continue;
    const auto [first, is_new] = written.emplace(*identity, &output);
    if (!is_new)
      throw UserError(first->second->what + " and " + output.what +
                      " would be written to one file, " + output.path.string());
  }
  for (const fs::path& input : inputs) {
    const std::optional<Identity> identity = identity_of(input);
    if (!identity) continue;
    if (const auto found = written.find(*identity); found != written.end())
      throw UserError(found->second->what + " would overwrite " + input.string() +
                      ", which is an input or a file of the run");
  }
}

}  // namespace osc::program
