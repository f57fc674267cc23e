// Host emulation of the CUDA features that the kernels use: threads of a block are
// fibers that run in turn until each of them has reached the next warp shuffle or the
// next barrier of its block.
//
// Rounds go up and down the threads in turn, so a missing barrier mostly shows as a
// wrong bit; it is no proof that a kernel is free of races, and says nothing of speed.
// Shared memory holds poison when a block starts.

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__
#define __launch_bounds__(...)

struct alignas(16) uint4 {
    unsigned int x;
    unsigned int y;
    unsigned int z;
    unsigned int w;
};

namespace emulation {

struct Dim {
    unsigned int x;
    unsigned int y;
    unsigned int z;
};

constexpr unsigned int MAX_THREADS = 1024;
constexpr unsigned int WARP = 32;
constexpr unsigned int STACK_BYTES = 32768;
constexpr unsigned int SHARED_BYTES = 1u << 18;
constexpr unsigned char POISON = 0xA5;
constexpr int DIVERGED = 1;  // a shuffle or a barrier missed a thread that had returned

}  // namespace emulation

emulation::Dim threadIdx;
emulation::Dim blockIdx;
emulation::Dim blockDim;
emulation::Dim gridDim;
const int warpSize = emulation::WARP;
uint4 shared_words[emulation::SHARED_BYTES / sizeof(uint4)];

namespace emulation {

struct Fiber {
    ucontext_t context;
    long long sent[2];  // two slots, so that a fast thread overwrites no unread value
    unsigned int shuffles;
    bool is_done;
    alignas(16) char stack[STACK_BYTES];
};

Fiber fibers[MAX_THREADS];
ucontext_t scheduler;
void (*kernel_call)(void**);
void** kernel_arguments;
int status;
unsigned int shared_bytes;

// A place where a group of threads meets: a block, or a warp at a shuffle.
struct Meeting {
    unsigned int arrivals;    // threads that wait
    unsigned int generation;  // meetings so far
    unsigned int finished;    // threads that have returned
};

Meeting block;
Meeting warps[MAX_THREADS / WARP];

inline void run_thread()
{
    kernel_call(kernel_arguments);
    fibers[threadIdx.x].is_done = true;
    ++block.finished;
    ++warps[threadIdx.x / WARP].finished;
}

// Give way to the other threads.
inline void yield_thread()
{
    swapcontext(&fibers[threadIdx.x].context, &scheduler);
}

// Wait until `count` threads have come to a meeting, none of which may have returned.
inline void wait_at(Meeting& meeting, unsigned int count)
{
    const unsigned int before = meeting.generation;
    if (++meeting.arrivals == count) {
        meeting.arrivals = 0;
        ++meeting.generation;
    }
    while (meeting.generation == before) {
        if (meeting.finished) {
            status = DIVERGED;
            return;
        }
        yield_thread();
    }
}

inline void run_block()
{
    memset(shared_words, POISON, shared_bytes);
    memset(&block, 0, sizeof block);
    memset(warps, 0, sizeof warps);
    for (unsigned int t = 0; t < blockDim.x; ++t) {
        Fiber& fiber = fibers[t];
        fiber.is_done = false;
        fiber.shuffles = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, run_thread, 0);
    }
    bool is_upward = true;
    for (unsigned int live = blockDim.x; live > 0; is_upward = !is_upward) {
        live = 0;
        for (unsigned int turn = 0; turn < blockDim.x; ++turn) {
            const unsigned int t = is_upward ? turn : blockDim.x - 1 - turn;
            if (fibers[t].is_done) {
                continue;
            }
            threadIdx.x = t;
            swapcontext(&scheduler, &fibers[t].context);
            live += fibers[t].is_done ? 0 : 1;
        }
    }
}

// shape = (blocks, threads per block, bytes of shared memory), both along x.
inline int run_grid(void (*call)(void**), const unsigned int* shape, void** arguments)
{
    kernel_call = call;
    kernel_arguments = arguments;
    status = 0;
    shared_bytes = shape[2];
    gridDim = {shape[0], 1, 1};
    blockDim = {shape[1], 1, 1};
    for (unsigned int block = 0; block < shape[0]; ++block) {
        blockIdx = {block, 0, 0};
        run_block();
    }
    return status;
}

template <unsigned int... I>
struct Indices {};
template <unsigned int N, unsigned int... I>
struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <unsigned int... I>
struct MakeIndices<0, I...> {
    using Type = Indices<I...>;
};

// Names of parameter types as NumPy writes them, a star before those of pointers.
template <class T>
struct Code;
template <class T>
struct Code<const T> : Code<T> {};
template <>
struct Code<int> {
    static constexpr const char* text = "i4";
};
template <>
struct Code<unsigned int> {
    static constexpr const char* text = "u4";
};
template <>
struct Code<unsigned long long> {
    static constexpr const char* text = "u8";
};
template <>
struct Code<long long> {
    static constexpr const char* text = "i8";
};
template <>
struct Code<float> {
    static constexpr const char* text = "f4";
};
template <>
struct Code<double> {
    static constexpr const char* text = "f8";
};
template <class T>
struct IsPointer {
    static constexpr bool value = false;
    using Target = T;
};
template <class T>
struct IsPointer<T*> {
    static constexpr bool value = true;
    using Target = T;
};

// Calls a kernel with arguments given as an array of pointers, as cudaLaunchKernel.
template <auto kernel>
struct Runner;
template <class... A, void (*kernel)(A...)>
struct Runner<kernel> {
    static void run(void** arguments)
    {
        spread(arguments, typename MakeIndices<sizeof...(A)>::Type());
    }

    template <unsigned int... I>
    static void spread(void** arguments, Indices<I...>)
    {
        kernel(*static_cast<A*>(arguments[I])...);
    }

    static const char* list_types()
    {
        static char text[512] = "";
        if (text[0] == 0) {
            (append<A>(text), ...);
        }
        return text;
    }

    template <class T>
    static void append(char* text)
    {
        strcat(text, IsPointer<T>::value ? " *" : " ");
        strcat(text, Code<typename IsPointer<T>::Target>::text);
    }
};

}  // namespace emulation

inline unsigned long long atomicAdd(
    unsigned long long* address, unsigned long long value)
{
    const unsigned long long before = *address;
    *address = before + value;
    return before;
}

// Every thread of the warp must come here, as on the device. Two slots suffice: a
// thread is at most one shuffle ahead of another.
inline long long __shfl_down_sync(unsigned int, long long value, unsigned int reach)
{
    const unsigned int own = threadIdx.x;
    emulation::Fiber& fiber = emulation::fibers[own];
    const unsigned int slot = fiber.shuffles++ & 1u;
    fiber.sent[slot] = value;
    emulation::wait_at(emulation::warps[own / emulation::WARP], emulation::WARP);
    const unsigned int lane = own % emulation::WARP;
    const unsigned int partner = lane + reach < emulation::WARP ? own + reach : own;
    return emulation::fibers[partner].sent[slot];
}

// Wait until every thread of the block has come here.
inline void __syncthreads()
{
    emulation::wait_at(emulation::block, blockDim.x);
}

// A clock that counts how often it is read.
inline long long clock64()
{
    static long long clock = 0;
    return ++clock;
}

#define EMULATE(kernel)                                                              \
    extern "C" int launch_##kernel(const unsigned int* shape, void** arguments)      \
    {                                                                                \
        return emulation::run_grid(                                                  \
            emulation::Runner<kernel>::run, shape, arguments);                       \
    }                                                                                \
    extern "C" const char* types_##kernel()                                          \
    {                                                                                \
        return emulation::Runner<kernel>::list_types();                              \
    }
