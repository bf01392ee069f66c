#!/usr/bin/env perl
# Reads every Markdown file and fails on what is not true any more: links and their anchors, paths
# in backticks, and commands in `sh` blocks. Arguments: the lanes of tests/run.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Spec;

my %lanes = map { $_ => 1 } @ARGV;
my @faults;
my ($links, $paths, $commands) = (0, 0, 0);

my @files;
find({ no_chdir => 1, wanted => sub {
    $File::Find::prune = 1 if -d && m{^\./(?:target|\.git)$};
    push @files, $_ =~ s{^\./}{}r if /\.md$/ && -f;
} }, '.');

# The subcommands of `portal` are the file names that its own help lists: asked of the sources,
# so that this lane needs no build.
my %subcommands = map { $_ => 1 } subcommands();

for my $file (sort @files) {
    my ($fence, $line) = (undef, 0);
    for (split /\n/, slurp($file)) {
        $line++;
        my $at = "$file:$line";
        if (/^\s*```(\S*)/) {
            $fence = defined $fence ? undef : $1;
        } elsif (defined $fence) {
            check_command($at, $_) if $fence eq 'sh';
        } else {
            check_link($at, $file, $1) while /(?<!!)\[[^\]]*\]\(([^)\s]+)\)/g;
            check_path($at, $file, $1) while /`([^`]+)`/g;
        }
    }
}

print "$_\n" for @faults;
printf "%d files, %d links, %d paths, %d commands, %d faults\n", scalar @files, $links, $paths, $commands, scalar @faults;
exit(@faults ? 1 : 0);

sub check_link {
    my ($at, $file, $target) = @_;
    return if $target =~ /^(?:https?|mailto):/;
    $links++;
    my ($path, $anchor) = split /#/, $target, 2;
    $path = $path eq '' ? $file : File::Spec->catfile(dirname($file), $path);
    return push @faults, "$at: link to $target, which does not exist" unless -e $path;
    return unless defined $anchor && $path =~ /\.md$/;
    push @faults, "$at: link to $target, where there is no such heading" unless anchors($path)->{$anchor};
}

# A path that names one of the folders of this repository has to exist, from the top or from the
# file's own folder. Patterns are left alone.
sub check_path {
    my ($at, $file, $text) = @_;
    return unless $text =~ m{^(?:core|bindings|server-mock|tests|docs|ios|android|\.ci)/[\w./-]*$};
    return if $text =~ m{^tests/run$} && -x $text;
    $paths++;
    push @faults, "$at: `$text` does not exist" unless -e $text || -e dirname($file) . "/$text";
}

sub check_command {
    my ($at, $text) = @_;
    $text =~ s/^\s*\$\s+//;
    $text =~ s/\s+#.*//;
    if ($text =~ m{^\s*(?:\./)?tests/run\b(.*)}) {
        $commands++;
        for my $lane (grep { !/^-/ } split ' ', $1) {
            push @faults, "$at: tests/run has no lane $lane" unless $lanes{$lane};
        }
    } elsif ($text =~ /^\s*(?:cargo\s+run\s+(?:--release\s+)?--\s+|portal\s+)([a-z][a-z-]*)/) {
        $commands++;
        push @faults, "$at: portal has no subcommand $1" unless $subcommands{$1};
    } elsif ($text =~ /^\s*cargo\s/) {
        $commands++;
        push @faults, "$at: no package $1 in this workspace" if $text =~ /\s-p\s+(\S+)/ && !is_package($1);
    }
}

# GitHub's rule: lower case, punctuation gone, spaces to hyphens.
sub anchors {
    my %found;
    for (split /\n/, slurp($_[0])) {
        next unless /^#+\s+(.*?)\s*$/;
        my $slug = lc $1;
        $slug =~ s/[^\w\s-]//g;
        $slug =~ s/\s/-/g;
        $found{$slug} = 1;
    }
    return \%found;
}

sub subcommands {
    my ($enum) = slurp('bindings/cli/src/args.rs') =~ /enum Command \{(.*?)\n\}/s;
    my @names = ($enum // '') =~ /^    ([A-Z]\w*)/mg;
    return ('help', map { lc s/(?<=[a-z])(?=[A-Z])/-/gr } @names);
}

sub is_package {
    my $name = shift;
    return grep { slurp($_) =~ /^name = "\Q$name\E"/m } glob('{core,bindings,bindings/*,server-mock,tests}/Cargo.toml');
}

sub slurp {
    open my $in, '<', $_[0] or die "$_[0]: $!";
    local $/;
    return scalar <$in>;
}
