// A stand-in for libnvidia-ml.so.1 that pynvml loads as it would the real one.
//
// What it answers stands in the file that SCRIBBLE_FAKE_NVML names, read anew at every
// call: one line of numbers, see `Control`. What it was asked is counted in the file of
// the same name with ".asked" behind it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace {

constexpr int kOk = 0, kUninitialized = 1, kInvalid = 2, kNotSupported = 3,
              kNotFound = 6, kInsufficientSize = 7;

struct Control {
  int fault = 0;       // what every query answers instead of a value
  int init_fault = 0;  // likewise the initialisation
  int gpus = 1;
  int instances = 0;   // MIG instances of the first GPU; 0: MIG is off
  int era = 0;         // handles of an earlier era mean nothing
  int busy = 0;        // utilisation [%]
  int hangs = 0;       // calls come back when this is 0
  int boots = 0;       // loads of the driver; NVML must be opened after the last one
};

struct Asked {
  long inits = 0, readings = 0, hanging = 0;
};

int references = 0;
int boots_seen = 0;
Asked asked;

Control read_control() {
  Control c;
  const char* path = std::getenv("SCRIBBLE_FAKE_NVML");
  std::FILE* file = path ? std::fopen(path, "r") : nullptr;
  if (!file) return c;
  if (std::fscanf(file, "%d %d %d %d %d %d %d %d", &c.fault, &c.init_fault, &c.gpus,
                  &c.instances, &c.era, &c.busy, &c.hangs, &c.boots) != 8)
    std::abort();
  std::fclose(file);
  return c;
}

void tell() {
  const char* path = std::getenv("SCRIBBLE_FAKE_NVML");
  if (!path) return;
  char name[4096], draft[4096];
  std::snprintf(name, sizeof name, "%s.asked", path);
  std::snprintf(draft, sizeof draft, "%s.draft", path);
  if (std::FILE* file = std::fopen(draft, "w")) {
    std::fprintf(file, "%ld %ld %ld\n", asked.inits, asked.readings, asked.hanging);
    std::fclose(file);
    std::rename(draft, name);
  }
}

// A handle is era, GPU and instance (0: the GPU itself) in one word, never null.
std::uintptr_t make_handle(int era, int gpu, int instance) {
  return (std::uintptr_t(era) << 16 | gpu << 8 | instance) + 1;
}

int begin(const Control& c) {
  if (c.hangs) {
    ++asked.hanging;
    tell();
    while (read_control().hangs) usleep(5000);
  }
  if (!references || c.boots != boots_seen) return kUninitialized;
  return c.fault;
}

int enter(const Control& c, std::uintptr_t handle, int* instance) {
  if (int fault = begin(c)) return fault;
  const std::uintptr_t word = handle - 1;
  *instance = int(word & 0xff);
  const bool is_known = handle && int(word >> 16) == c.era &&
                        int(word >> 8 & 0xff) < c.gpus && *instance <= c.instances;
  return is_known ? kOk : kInvalid;
}

}  // namespace

extern "C" {

int nvmlInitWithFlags(unsigned) {
  const Control c = read_control();
  ++asked.inits;
  tell();
  if (c.init_fault) return c.init_fault;
  // As the real library: who is open already notices no other driver.
  if (!references++) boots_seen = c.boots;
  return kOk;
}

int nvmlShutdown() {
  if (!references) return kUninitialized;
  --references;
  return kOk;
}

int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  std::snprintf(text, size, "570.1");
  return begin(read_control());
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  const Control c = read_control();
  *count = unsigned(c.gpus);
  return begin(c);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, std::uintptr_t* handle) {
  const Control c = read_control();
  if (int fault = begin(c)) return fault;
  *handle = make_handle(c.era, int(index), 0);
  return int(index) < c.gpus ? kOk : kInvalid;
}

int nvmlDeviceGetUUID(std::uintptr_t handle, char* text, unsigned size) {
  int instance = 0;
  const int fault = enter(read_control(), handle, &instance);
  const int gpu = int((handle - 1) >> 8 & 0xff);
  std::snprintf(text, size, "%s-%08d-0000-0000-0000-%012d", instance ? "MIG" : "GPU",
                gpu, instance);
  return fault;
}

int nvmlDeviceGetName(std::uintptr_t handle, char* text, unsigned size) {
  int instance = 0;
  std::snprintf(text, size, "Paper GPU");
  return enter(read_control(), handle, &instance);
}

struct Pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char address[32];
};

int nvmlDeviceGetPciInfo_v3(std::uintptr_t handle, Pci* pci) {
  int instance = 0;
  std::memset(pci, 0, sizeof *pci);
  const int gpu = int((handle - 1) >> 8 & 0xff);
  std::snprintf(pci->address, sizeof pci->address, "00000000:%02X:00.0", 0x3B + gpu);
  return enter(read_control(), handle, &instance);
}

int nvmlDeviceGetMigMode(std::uintptr_t handle, unsigned* now, unsigned* later) {
  int instance = 0;
  const Control c = read_control();
  *now = *later = c.instances > 0;
  return enter(c, handle, &instance);
}

int nvmlDeviceGetMaxMigDeviceCount(std::uintptr_t handle, unsigned* count) {
  int instance = 0;
  *count = 7;
  return enter(read_control(), handle, &instance);
}

int nvmlDeviceGetMigDeviceHandleByIndex(std::uintptr_t handle, unsigned slot,
                                        std::uintptr_t* found) {
  int instance = 0;
  const Control c = read_control();
  if (int fault = enter(c, handle, &instance)) return fault;
  *found = make_handle(c.era, int((handle - 1) >> 8 & 0xff), int(slot) + 1);
  return int(slot) < c.instances ? kOk : kNotFound;
}

int nvmlDeviceGetUtilizationRates(std::uintptr_t handle, unsigned* rates) {
  int instance = 0;
  const Control c = read_control();
  ++asked.readings;
  tell();
  rates[0] = unsigned(c.busy);
  rates[1] = 0;
  const int fault = enter(c, handle, &instance);
  // NVML knows no utilisation of instances, nor of a GPU that is cut into them.
  return fault ? fault : c.instances ? kNotSupported : kOk;
}

int nvmlDeviceGetMemoryInfo(std::uintptr_t handle, std::uint64_t* memory) {
  int instance = 0;
  memory[0] = 80ull << 30;
  memory[1] = 60ull << 30;
  memory[2] = 20ull << 30;
  return enter(read_control(), handle, &instance);
}

struct Process {
  unsigned pid;
  std::uint64_t memory;
  unsigned instance, compute;
};

// This process, and one of somebody else's whose utilisation is all there is.
int nvmlDeviceGetComputeRunningProcesses_v3(std::uintptr_t handle, unsigned* count,
                                            Process* found) {
  int instance = 0;
  if (int fault = enter(read_control(), handle, &instance)) return fault;
  const bool fits = found && *count >= 2;
  *count = 2;
  if (!fits) return kInsufficientSize;
  found[0] = {unsigned(getpid()), 10ull << 30, 0, 0};
  found[1] = {1, 10ull << 30, 0, 0};
  return kOk;
}

int nvmlDeviceGetProcessUtilization(std::uintptr_t handle, void*, unsigned* count,
                                    std::uint64_t) {
  int instance = 0;
  *count = 0;
  const int fault = enter(read_control(), handle, &instance);
  return fault ? fault : kNotFound;
}

}  // extern "C"
