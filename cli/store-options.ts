/** How commands that read records reach S3; credentials come from the environment, as the AWS SDK finds them. */
import { type Command, Option } from 'commander';

export function withStoreOptions(command: Command): Command {
  return command
    .addOption(new Option('--endpoint <url>', 'S3 endpoint; without it AWS').env('POSTERN_S3_ENDPOINT'))
    .addOption(new Option('--region <region>', 'S3 region').env('AWS_REGION').default('us-east-1'))
    .addOption(
      new Option('--path-style', 'address the bucket by path, as most S3 servers want it').env('POSTERN_S3_PATH_STYLE'),
    );
}
